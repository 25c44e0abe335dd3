package main

import "syscall"

const (
	getTermios = syscall.TCGETS
	setTermios = syscall.TCSETS

	noKey = 0 // in place of a key: the function has none
)
