package main

import "syscall"

const (
	getTermios = syscall.TIOCGETA
	setTermios = syscall.TIOCSETA

	noKey = 0xff // in place of a key: the function has none
)
