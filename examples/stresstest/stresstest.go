// Package stresstest calls a server from many goroutines over many connections, gives
// calls up at random, and counts afterwards that nothing was lost and nothing was left
// running. Directory server exports an adder, directory client is the storm.
package stresstest

// State is what the adder knows of itself.
type State struct {
	Total   int64 `json:"total"`   // of all that was added
	Running int64 `json:"running"` // slow calls and streams
}
