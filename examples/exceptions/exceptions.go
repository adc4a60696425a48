// Package exceptions has the errors that a calculator and its callers share. Directory
// server exports the calculator, directory client makes it fail in every way.
package exceptions

import (
	"errors"
	"fmt"

	"github.com/pyrossl/pyrossl/broker"
)

// ErrDivideByZero is a sentinel: callers ask for it with errors.Is.
var ErrDivideByZero = errors.New("calculator: divide by zero")

// DomainError is a type: callers take it with errors.AsType and look into it.
type DomainError struct {
	Got   float64 `json:"got"`
	Least float64 `json:"least"`
}

func (e *DomainError) Error() string {
	return fmt.Sprintf("calculator: got %v, want at least %v", e.Got, e.Least)
}

// Errors gives both a name on the wire. The daemon and its clients list the same; an
// error that is not in the list arrives as its text.
var Errors = broker.Errors{
	"calculator.divide-by-zero": ErrDivideByZero,
	"calculator.domain":         (*DomainError)(nil),
}
