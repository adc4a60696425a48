// Package proxysharing shows one proxy that many goroutines use at the same time.
// Directory server exports a meeting point, directory client sends twenty goroutines.
package proxysharing
