// Package failpoint names the places where a test may stop or kill a program, and hands down its clock.
//
// Without the build tag failpoint, [Hit] does nothing and [Now] is [time.Now]; a test proves that release binaries
// hold no more than that. With the tag, the environment variable HOLDFAST_FAILPOINTS lists what happens where:
// name=kill ends the process by SIGKILL, name=kill:n at the n-th hit, name=panic panics, name=error makes Hit return
// an error. Items are separated by commas. HOLDFAST_CLOCK_OFFSET shifts Now by a duration.
package failpoint
