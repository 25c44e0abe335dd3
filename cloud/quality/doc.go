// Package quality is the domain, pure: lots with their three facts (disposition, holds, usage), nonconformances, the
// effects wanted in other systems, and the rules that connect them.
//
// [Decide] turns one event and the objects it names into a [Change]. [WantedUsage] says what an ERP should enforce for
// a lot now; it is asked again right before each write. Neither has a clock, I/O or a goroutine, so that the state is
// a fold of the inbox.
package quality
