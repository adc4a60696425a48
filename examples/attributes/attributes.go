// Package attributes shows values of an object that are read and written by name.
// Directory server exports a thermostat, directory client reads and sets it.
package attributes

import "errors"

// ErrTooHot is why a temperature is not taken.
var ErrTooHot = errors.New("thermostat: too hot")
