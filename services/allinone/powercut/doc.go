// Package powercut holds the proof that a 200 to Stripe outlives the power: publishers send signed webhooks to a real ingress
// process, the servers are killed, and the file system under their stores is cut off in the same moment, before anything that
// was not synced could reach the disk. A list of its own says what was acknowledged; each event on it must be there afterwards.
//
// `make powercut` runs it: it needs root, loop devices and ext4, and therefore stands behind the build tag powercut. `make check` runs
// what needs none of that: the same world without the cut, which kills alone (kill_test.go). A kill proves little about disks, since
// the page cache outlives a process; it holds the harness together.
//
// SIGKILL first, then the cut. In the other order ext4 itself returns success from fsync for bytes that the cut then drops, and a
// sound store looks guilty; two control programs without any server show in every run which of the two is measured.
//
// The files are tests. To follow a cut read powercut_test.go (the rows of the table), world_test.go (one cut), disk_test.go.
package powercut
