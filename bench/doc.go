// Package bench stands in a module of its own, so that what we measure ourselves
// against never reaches the builds of our users. Run size.sh for the size of the
// smallest client of each.
package bench
