// Package hub brings the files of a model from the HuggingFace hub into HuggingFace's own cache, and
// finds them there. Python's huggingface_hub and tti use one cache and share every download, in both
// directions: the layout, the names of blobs and the locks are those of
// https://huggingface.co/docs/hub/local-cache.
//
// What is guaranteed: a file bears its name in the cache only when it is whole and its size and digest
// are what the hub announced (its size alone if the hub, being a mirror, names no digest); an interrupted download is taken up where it ended, also by a later
// process; two processes do not download one file at once; the token goes to the configured endpoint
// and to no other host; no name sent by a server leads outside the repository's folder.
//
// What a hub, or whoever answers in its place, can cost is bounded:
//
//	a request                      30s for the header, then 30720 bytes in every 30s
//	attempts                       6 at a request, or at 1048576 bytes of a download
//	waits between attempts         5m0s each
//	redirects                      10
//	header of an answer            65536 bytes
//	listing of a repository        16777216 bytes
//	config.json                    1048576 bytes
//	generation_config.json         1048576 bytes
//	vocab.json                     67108864 bytes
//	merges.txt                     67108864 bytes
//	tokenizer.json                 67108864 bytes
//	tokenizer_config.json          2097152 bytes
//	added_tokens.json              2097152 bytes
//	special_tokens_map.json        2097152 bytes
//	chat_template.jinja            1048576 bytes
//	model.safetensors.index.json   16777216 bytes, 200000 tensors in 2000 files
//	weights                        what the hub has announced
//
// What it never does: load or convert weights, fetch pickled weights, write anywhere but in the cache,
// print, or upload.
//
// github.com/gomlx/go-huggingface/hub (v0.3.1) does the same in principle and is not used, because it
// starts interrupted downloads anew, verifies neither size nor digest, knows neither HF_HOME, HF_HUB_CACHE,
// HF_TOKEN nor HF_HUB_OFFLINE, has no time limits or retries, keeps its locks where Python does not look
// for them, prints to standard output, and leaves the handling of the token on redirects open. The hub's
// documented requests are few: the listing of a revision (GET /api/models/{repository}/revision/{revision}),
// and HEAD and GET of /{repository}/resolve/{commit}/{file}.
//
// Start reading at [Client.Fetch].
package hub
