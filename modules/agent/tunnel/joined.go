package tunnel

import "net"

// The header of a yamux frame: version, type, flags (2), stream (4), length (4).
const (
	frameHeader = 12
	frameType   = 1
	frameData   = 0
	frameLength = 8
)

// joinBelow is the longest body that is joined to its header: what fits into
// one TLS record with it.
const joinBelow = 16<<10 - frameHeader

// joined writes the header of a data frame together with its body. yamux writes
// them one after the other, which TLS turns into two records, two system calls
// and two wake-ups of the other end. It relies on yamux writing the body of a
// data frame right after its header, from one goroutine.
type joined struct {
	net.Conn
	frame []byte // a header that waits for its body; its memory is kept
}

func (j *joined) Write(p []byte) (int, error) {
	if len(j.frame) == 0 {
		if !smallDataHeader(p) {
			return j.Conn.Write(p)
		}
		j.frame = append(j.frame, p...)
		return len(p), nil
	}
	j.frame = append(j.frame, p...)
	_, err := j.Conn.Write(j.frame)
	j.frame = j.frame[:0]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// smallDataHeader reports whether p is the header of a data frame whose body is
// worth waiting for.
func smallDataHeader(p []byte) bool {
	if len(p) != frameHeader || p[frameType] != frameData || p[frameLength]|p[frameLength+1] != 0 {
		return false
	}
	length := int(p[frameLength+2])<<8 | int(p[frameLength+3])
	return 0 < length && length <= joinBelow
}
