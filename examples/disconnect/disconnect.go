// Package disconnect shows objects that are taken away while their daemon runs.
// Directory server exports four lamps and a switch that removes them, directory client
// removes one after the other.
package disconnect
