package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// invocation is how this program was started, as a user would type it again in
// another shell in the same directory.
func invocation() string {
	self, err := os.Executable()
	if err != nil {
		return "broker"
	}
	if onPath, err := exec.LookPath("broker"); err == nil && sameFile(onPath, self) {
		return "broker"
	}
	// The program that "go run" builds is gone when it ends.
	const source = "./cmd/broker"
	if strings.Contains(filepath.ToSlash(self), "/go-build") {
		if _, err := os.Stat(filepath.Join(source, "main.go")); err == nil {
			return "go run " + source
		}
	}
	if strings.ContainsRune(os.Args[0], filepath.Separator) && sameFile(os.Args[0], self) {
		return shellQuote(os.Args[0])
	}
	return shellQuote(self)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
