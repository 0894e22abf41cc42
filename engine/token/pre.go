package token

import "fmt"

// Patterns that llama.cpp uses for GGUF vocabularies, beside the ones with a scanner.
const (
	prePunct      = `[\p{P}\$\+<=>\^~\|]+`
	preFalcon     = "[\\p{P}\\$\\+<=>\\^~\\|`]+"
	preThree      = `[0-9][0-9][0-9]`
	preContract   = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`
	preTail       = `| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	preUpperLower = `[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+`
	preUpper      = `[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*`
	preQwen35     = preContract + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	preTekken     = preUpperLower + `|` + preUpper + `|\p{N}` + preTail
	preGPT4o      = preUpperLower + preContract + `?|` + preUpper + preContract + `?|\p{N}{1,3}` + preTail
	preBloom      = ` ?[^(\s|.,!?…。，、।۔،)]+`
	preCJK        = `[一-龥぀-ゟ゠-ヿ]+`
	preDeepSeek3  = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" +
		`[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// preKind is a way to split words for a gpt2 vocabulary: patterns that are applied one
// after the other to what the one before left, and what goes with them.
type preKind struct {
	patterns     []string
	ignoreMerges bool
	addBOS       bool
}

// parsePre returns the kind that tokenizer.ggml.pre names.
func parsePre(name string) (preKind, error) {
	switch name {
	case "", "default":
		return preKind{patterns: []string{prePunct, patternGPT2, `\p{N}+`, preThree}}, nil
	case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano":
		return preKind{patterns: []string{patternLlama3}, ignoreMerges: true, addBOS: true}, nil
	case "dbrx", "smaug-bpe", "chatglm-bpe":
		return preKind{patterns: []string{patternLlama3}}, nil
	case "glm4", "glm5":
		return preKind{patterns: []string{patternLlama3}, ignoreMerges: true}, nil
	case "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "megrez", "solar-open":
		return preKind{patterns: []string{patternQwen2}}, nil
	case "qwen35":
		return preKind{patterns: []string{preQwen35}}, nil
	case "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert",
		"jina-v1-en", "jina-v2-code", "roberta-bpe", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4":
		return preKind{patterns: []string{patternGPT2}}, nil
	case "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2":
		return preKind{patterns: []string{`\p{N}`, patternGPT2}}, nil
	case "falcon":
		return preKind{patterns: []string{preFalcon, patternGPT2, preThree}}, nil
	case "poro-chat", "bloom", "gpt3-finnish":
		return preKind{patterns: []string{preBloom}}, nil
	case "viking":
		return preKind{patterns: []string{preBloom, `\p{N}`}}, nil
	case "tekken":
		return preKind{patterns: []string{preTekken}, ignoreMerges: true, addBOS: true}, nil
	case "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2":
		return preKind{patterns: []string{preGPT4o}}, nil
	case "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4":
		return preKind{patterns: []string{`\p{N}{1,3}`, preCJK, preDeepSeek3}}, nil
	case "deepseek-coder":
		return preKind{patterns: []string{"[\r\n]", `\s?\p{L}+`, `\s?\p{P}+`, `[一-龥ࠀ-一가-퟿]+`, `\p{N}`}}, nil
	}
	return preKind{}, fmt.Errorf("pre: unsupported %q", name)
}

// splitter chains the patterns.
func (k preKind) splitter() (splitter, error) {
	var parts []splitter
	for _, src := range k.patterns {
		switch src {
		case patternGPT2:
			parts = append(parts, scanGPT2)
		case patternLlama3:
			parts = append(parts, scanLlama3(3, false))
		case patternQwen2:
			parts = append(parts, scanLlama3(1, false))
		default:
			p, err := compilePattern(src)
			if err != nil {
				return nil, fmt.Errorf("pre: %w", err)
			}
			parts = append(parts, splitBy(p.find, isolated, false))
		}
	}
	return chain(parts), nil
}
