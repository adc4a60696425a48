// Package autoreconnect shows what becomes of calls when their server is killed and
// started again. Directory server exports a clock, directory client calls it without
// an end.
package autoreconnect

// State is what the clock shows.
type State struct {
	Process int `json:"process"` // which server it is
	Ticks   int `json:"ticks"`   // since its start
}
