// Package timeout shows what bounds the time of a call, and that the method learns of
// it: directory server exports slow methods, directory client does not wait for them.
package timeout
