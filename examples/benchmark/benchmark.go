// Package benchmark counts the calls per second of several shapes. Directory server
// exports methods that do nothing, directory client calls them for some seconds.
package benchmark

import (
	"errors"

	"github.com/pyrossl/pyrossl/broker"
)

// Record is an argument and a result.
type Record struct {
	Name    string         `json:"name"`
	Numbers []int          `json:"numbers"`
	Nested  map[string]int `json:"nested"`
}

// ErrNo is returned by a method that fails.
var ErrNo = errors.New("benchmark: no")

// Errors is the table that the server and its clients share.
var Errors = broker.Errors{"benchmark.no": ErrNo}
