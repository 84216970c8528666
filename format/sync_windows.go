package format

// syncDirectory does nothing: Windows keeps renames in the journal of the file system and has no
// call to sync a directory.
func syncDirectory(string) error { return nil }
