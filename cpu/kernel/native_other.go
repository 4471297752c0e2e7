package kernel

func nativePaths() []Path { return nil }

func implementationOf(Path) implementation { return portable() }
