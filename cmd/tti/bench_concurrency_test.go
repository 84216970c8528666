package main

import (
	"strings"
	"testing"
)

func TestBenchConcurrency(t *testing.T) {
	measure := []string{"bench", draftInt8, "--concurrency", "1,3", "--threads", "1", "--repeats", "1"}
	output := succeeds(t, "", append(measure, "--json")...)
	hasKeys(t, output, "model", "threads", "kernels", "prompt", "tokens", "rows", "rows[].texts", "rows[].shared", "rows[].cached", "rows[].tokens",
		"rows[].decode", "rows[].decode.tok_s", "rows[].decode.tok_s_lower_quartile", "rows[].decode.tok_s_upper_quartile",
		"rows[].one_pass", "rows[].one_pass.tok_s", "rows[].one_pass.tok_s_lower_quartile", "rows[].one_pass.tok_s_upper_quartile", "rows[].of_one_pass",
		"rows[].total", "rows[].total.tok_s", "rows[].total.tok_s_lower_quartile", "rows[].total.tok_s_upper_quartile",
		"rows[].first_token_ms", "rows[].first_token_ms.p50", "rows[].first_token_ms.p95", "rows[].first_token_ms.p99", "rows[].first_token_ms.longest",
		"rows[].gap_ms", "rows[].gap_ms.p50", "rows[].gap_ms.p95", "rows[].gap_ms.p99", "rows[].gap_ms.longest")
	var r concurrencyBench
	decodeStrictly(t, output, &r)
	if len(r.Rows) != 4 || r.Rows[3].Texts != 3 || !r.Rows[3].Shared || r.Threads != 1 || r.Prompt != 64 || r.Tokens != 128 {
		t.Errorf("result %+v", r)
	}
	output = succeeds(t, "", measure...)
	for _, want := range []string{"texts", "first token ms", "gap ms", "of one pass", "longest"} {
		if !strings.Contains(output, want) {
			t.Errorf("output lacks %q:\n%s", want, output)
		}
	}
}

func TestBenchConcurrencyRefusals(t *testing.T) {
	for _, list := range []string{"0", "1,", "a", "257", ""} {
		refuses(t, 2, `--concurrency.*want whole numbers from 1 to 256`, "bench", draftInt8, "--concurrency", list)
	}
	refuses(t, 2, `--concurrency does not go with --draft`, "bench", draftInt8, "--concurrency", "1", "--draft", "ngram")
}
