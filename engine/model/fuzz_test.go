package model

import (
	"encoding/json"
	"testing"

	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"arch":"llama","llama":{"dim":64,"blocks":2,"heads":4,"kv_heads":2,"head_dim":16,"ffn":128,"vocab":100,"context":512,"eps":1e-5,"rope":{"theta":10000,"scaling":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_context":32}}}`))
	f.Add([]byte(`{"arch":"bert","bert":{"dim":32,"blocks":2,"heads":4,"ffn":96,"vocab":30,"types":2,"context":64,"max_tokens":64,"eps":1e-12,"activation":"gelu","pooling":"mean","normalize":true}}`))
	f.Add([]byte(`{"arch":"vision","vision":{"input":[3,8,8],"prepare":{"resize":9,"filter":"bicubic","mean":[0.5],"std":[0.25]},"layers":[{"type":"conv","name":"conv1","norm":"bn1","channels":4,"kernel":3,"stride":2,"pad":1,"activation":"relu"},{"type":"bottleneck","name":"b","channels":8,"stride":1},{"type":"maxpool","kernel":2,"stride":2},{"type":"globalpool"},{"type":"linear","name":"fc","channels":2,"bias":true}],"eps":1e-5,"labels":["a","b"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		checkConfig(t, c)
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseConfig(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

func FuzzParseHFConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":64,"intermediate_size":176,"num_attention_heads":8,"num_hidden_layers":3,"num_key_value_heads":2,"vocab_size":1024,"max_position_embeddings":512,"rms_norm_eps":1e-5,"rope_parameters":{"factor":8.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position_embeddings":32,"rope_theta":500000.0,"rope_type":"llama3"},"tie_word_embeddings":true,"eos_token_id":[2,3]}`))
	f.Add([]byte(`{"model_type":"mistral","hidden_size":64,"intermediate_size":176,"num_attention_heads":4,"num_hidden_layers":3,"head_dim":32,"sliding_window":16,"vocab_size":1024,"num_key_value_heads":2,"layer_types":["full_attention","sliding_attention","full_attention"]}`))
	f.Add([]byte(`{"model_type":"qwen2","hidden_size":64,"intermediate_size":176,"num_attention_heads":4,"num_hidden_layers":3,"use_sliding_window":true,"sliding_window":16,"max_window_layers":1,"vocab_size":1024,"rope_scaling":{"type":"linear","factor":2}}`))
	f.Add([]byte(`{"model_type":"bert","architectures":["BertForSequenceClassification"],"hidden_size":32,"intermediate_size":96,"num_attention_heads":4,"num_hidden_layers":2,"vocab_size":30,"id2label":{"0":"a","1":"b"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, h, err := parseHFConfig(data)
		if err != nil {
			return
		}
		checkConfig(t, c)
		_, _ = tokenIDs(h.EOS)
	})
}

func FuzzParseImageConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"resnet18.a1_in1k","num_classes":2,"pretrained_cfg":{"input_size":[3,32,32],"crop_pct":0.95,"interpolation":"bicubic","mean":[0.5,0.5,0.5],"std":[0.2,0.2,0.2]}}`), 4, 7)
	f.Add([]byte(`{"model_type":"resnet","model":{"kind":"resnet","resnet":{"depth":50}},"labels":["a","b"],"preprocessing":{"channels":1,"height":28,"width":28,"fit":"stretch","filter":"nearest"}}`), 2, 3)
	f.Add([]byte(`{"model_type":"covey-cnn","model":{"cnn":{"layers":[{"type":"conv","channels":4,"norm":true,"relu":true},{"type":"maxpool"},{"type":"residual","channels":8,"stride":2},{"type":"linear","channels":3}]}},"preprocessing":{"channels":3,"height":8,"width":8,"fit":"crop","resize":9,"filter":"bicubic"}}`), 4, 3)
	f.Add([]byte(`{"model_type":"covey-mlp","model":{"mlp":{"activation":"gelu"}},"preprocessing":{"channels":1,"height":8,"width":8,"fit":"crop","resize":8,"filter":"bilinear","mean":[0.5],"std":[0.5]}}`), 4, 3)
	f.Add([]byte(`{"model_type":"covey-mlp","model":{"mlp":{"regression":true}},"columns":[{"name":"a","kind":"number","mean":1,"std":2},{"name":"b","kind":"category","categories":["x","y"]}],"fill_missing":true}`), 4, 3)
	f.Fuzz(func(t *testing.T, data []byte, width, kernel int) {
		c, ok, err := parseNumericConfig(data, map[string]tensor.Shape{
			"conv1.weight": {width, 3, kernel, kernel}, "fc.weight": {2, 16}, "fc1.weight": {width, 3 + 61*(kernel&1)}, "fc2.weight": {1 + kernel&1, width},
		})
		if ok && err == nil {
			checkConfig(t, c)
		}
	})
}

// checkConfig wants an accepted configuration to be harmless: its tensors have sizes.
func checkConfig(t *testing.T, c Config) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, part := range c.Parts() {
		for _, s := range c.Specs(part) {
			if n, err := s.Shape.Elems(); err != nil || n < 1 {
				t.Fatalf("%v %s has shape %v", part, s.Name, s.Shape)
			}
		}
	}
	if c.Llama != nil {
		for i, f := range c.Llama.Rope.Frequencies(c.Llama.HeadDim) {
			if !(f >= 0 && f*float64(c.Llama.Context-1) < nn.MaxContext) {
				t.Fatalf("frequency %d is %v", i, f)
			}
		}
	}
}
