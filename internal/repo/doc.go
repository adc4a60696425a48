// Package repo has no code: its tests hold the rules of the repository as a whole.
// They say which package may import which, and why; what a client program may link;
// what may be committed; and that the README shows code and commands that work.
//
// A failing test here names the rule and the file. When the rule is what should
// change, change the table, with its reason, in the same commit.
package repo
