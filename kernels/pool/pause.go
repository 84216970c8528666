package pool

// pause is what a spinning thread does between two looks.
func pause() {}
