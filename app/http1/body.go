package http1

import (
	"io"
	"time"
)

// drainBytes is how much of a body that the handler left is read to keep the
// connection.
const drainBytes = 256 << 10

// body is the body of a request.
type body struct {
	c     *conn
	left  int64
	limit time.Time // to have read it; zero for none
}

func (b *body) begin(length int64) { b.left, b.limit = length, time.Time{} }

// Read reads what came with the head first, and then into p directly.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if len(p) == 0 {
		return 0, nil
	}
	n := copy(p, b.c.in)
	if n == 0 {
		var err error
		if n, err = b.c.read(p, b.limit); err != nil {
			if err == io.EOF { //nolint:errorlint // as nc.Read returns it
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	} else {
		b.c.in = b.c.in[n:]
	}
	if b.left -= int64(n); b.left > 0 {
		return n, nil
	}
	b.c.startWatch()
	return n, io.EOF
}

// Close implements io.Closer; what is left is for drain.
func (b *body) Close() error { return nil }

// drain takes what the handler left and reports whether that was all.
func (b *body) drain() bool {
	if b.left > drainBytes {
		return false
	}
	here := min(b.left, int64(len(b.c.in)))
	b.c.in = b.c.in[here:]
	if b.left -= here; b.left == 0 {
		return true
	}
	b.limit = time.Now().Add(lingerTime)
	_, err := io.Copy(io.Discard, b)
	return err == nil
}
