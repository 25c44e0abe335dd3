// Package downlink reads what the cloud says to a plant: the status of its lots and the control records of its agents.
// It keeps both on disk and answers, also while the cloud cannot be reached, whether a lot may move.
//
// An answer against moving never expires. An answer for it does: it rests on lot status that was whole at some instant,
// and that instant is proven, not assumed. The agent notes when it had read a topic to its end; a control record that
// comes afterwards was written after that instant, and the cloud writes one a minute at least, after the lot status then
// due. So once lot status is read to its end behind such a record, everything the cloud had to say at that instant is
// here. No clock of another machine is compared, and a record that was old when it was read proves nothing new.
//
// Age is counted on a clock that no one sets and that runs while the host sleeps. After a restart within one boot of the
// host it goes on; across boots the age is not known, and nothing is free until the cloud is heard again.
package downlink
