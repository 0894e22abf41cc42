package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
)

// Examine makes findings of what was found, those of a check together, in the order in which
// the checks stand below.
func Examine(f *Facts) []api.Finding {
	var out []api.Finding
	for _, check := range []func(*Facts) []api.Finding{
		checkData, checkMembership, checkClock, checkDisk, checkMemory, checkKernels,
		checkPorts, checkReach, checkUDP, checkIPv4, checkIPv6, checkNAT, checkMapping, checkMTU, checkRelay, checkPaths,
	} {
		out = append(out, check(f)...)
	}
	return out
}

func one(check, state, what, do string) []api.Finding {
	return []api.Finding{{Check: check, State: state, What: what, Do: do}}
}

// coded gives findings the code of a trouble.
func coded(code string, found []api.Finding) []api.Finding {
	for i := range found {
		found[i].Code = code
	}
	return found
}

func ok(check, format string, args ...any) []api.Finding {
	return one(check, api.FindingOK, fmt.Sprintf(format, args...), "")
}

func unknown(check, format string, args ...any) []api.Finding {
	return one(check, api.FindingUnknown, fmt.Sprintf(format, args...), "")
}

// count writes a number of things.
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// shown bounds what a line lists.
const shown = 4

// list writes the first of many things.
func list(all []string) string {
	if n := len(all) - shown; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), n)
	}
	return strings.Join(all, ", ")
}

// span writes a time for people.
func span(d time.Duration) string {
	switch d = d.Abs(); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= time.Minute:
		text := strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	case d >= time.Second:
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Microsecond).String()
}
