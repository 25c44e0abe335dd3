// Package quality is the domain, pure: lots with their three facts (disposition, holds, usage), inspections,
// nonconformances, runs, gaps, notices, the effects wanted in other systems, and the rules that connect them.
//
// [Decide] turns one event and the objects it names into a [Change], with all that follows for the lot's release, its
// warehouse tasks and its customers. [Facts] says what an ERP should enforce for a lot now, whether it may move and what
// its release waits for; it is asked again right before each write. Nothing here has a clock, I/O or a goroutine, so
// that the state is a fold of the inbox.
package quality
