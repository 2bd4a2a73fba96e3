// Package atrest seals what is written to the disk, so that a copy of the disk says nothing of what
// clients have sent.
//
// What is sealed is a box: XAES-256-GCM with a data key. Data keys are random, are used for new boxes
// for one day, and are kept beside the data, wrapped by a key that is not: a KeyEncryption, which is a
// key in a file or in the environment, an age identity, or a service. It is asked once for each data
// key at a start, and once a day; while it is away, the data key at hand goes on being used.
//
// The package promises that a data key is durable, twice, before the first box that needs it; that no
// nonce is used twice with a key, also where a write is repeated or copied; and that a box that was
// changed by so much as a bit, or that is opened for another purpose than it was sealed for, does not
// open. It does not hide lengths, names of files, or when something was written, and it does not
// notice where whole boxes are taken away, put in another order, or put back as they were before: who
// can write to the disk of a running service has the service.
//
// A nil *Keys is one that seals nothing and has no key.
package atrest
