// Package spool keeps usage records on the local disk between a request and
// the database, so that neither a killed process nor a database that is away
// loses one.
//
// # What it promises
//
// Append has handed the record to the operating system when it returns, by
// storing it in memory that both share (mmap(2)): a killed process loses nothing
// that was appended. The disk is synced every 100 ms while something was stored:
// a power loss may cost that much.
//
// Each request has an open record, appended before it is forwarded, and a final
// one, appended before the last byte goes to the client. In between, the open one
// may be appended again with what has been counted so far. After a crash an open
// record without a final one becomes a final record with the status
// "interrupted". Records are delivered at least once; the database drops the
// second by request id.
//
// # Format, version 1
//
// A folder with segments named <number>.seg, written one after another and never
// appended to after a restart. A segment starts with the eight bytes "invspl1\n".
// Then records follow:
//
//	offset size
//	0      2     0xA5 0x5A
//	2      4     length of the payload, little endian, at most 64 KiB
//	6      4     CRC-32C (Castagnoli) of the payload, little endian
//	10     n     the payload: see Record.encode
//
// The segment that is written has 16 MiB from the beginning; zeros follow its last
// record until it is ended. The mark of a record is stored after the rest of it,
// so what a kill leaves of one looks like more of them, or nearly: a start takes
// both away.
//
// A segment is deleted a minute after all its finals are in the database and all
// its opens have a final or a newer open; earlier when there is little room. The
// file "delivered" says up to where they are, for the next start and for
// Inspect. Until it is deleted, Again has it delivered once more: a database may
// lose what it has taken. What does not check out is skipped and counted, and the segment is copied to the folder "quarantine" before it is
// deleted. The file "refused" there holds, without the eight bytes,
// records that the database would not take.
//
// # Disk full
//
// Open records are refused while less than 64 MiB are free, final ones are not:
// the rest is kept for requests that were accepted. Delivered segments are
// deleted before, from 128 MiB on.
package spool
