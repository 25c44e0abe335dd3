// Package broker runs an MQTT broker and a broker of the Kafka protocol inside the calling process, for the demo and
// for tests: real protocols on real sockets, nothing to install.
//
// Both listen on the loopback interface only, know no users, and are not for production: the Kafka one keeps what it
// stored through the end of its process but not through a power cut, and neither has quotas. Their data directories
// may be kept and opened again; each is locked against a second opener.
package broker
