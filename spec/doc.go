// Package spec is speculative decoding: something cheap guesses the next tokens, and the target
// model checks all the guesses in one pass. A guess counts if and only if it is the token that the
// target's own sampler draws at that position, so the text is the one that plain decoding gives,
// token by token, greedy or sampled; only the time differs. (Y. Leviathan, M. Kalman and Y. Matias,
// "Fast Inference from Transformers via Speculative Decoding", 2023; here drafter and target share
// the noise of their draws, which makes the check an equality and leaves nothing to resample.)
//
// Its costs are measured while it runs, and where guessing does not pay, it does not guess. It never
// changes a token, and never judges one by anything but the target's draw.
//
// Start reading at Decoder.Generate, then drafter.go and controller.go.
package spec
