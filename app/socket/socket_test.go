package socket_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/inventiv-it-for-ai/inventiv/app/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var past = time.Unix(1, 0)

// pair returns both ends of a connection.
func pair(t *testing.T) (near, far *socket.Conn) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := socket.Listener{Listener: ln}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near, _ = socket.Of(dialled).(*socket.Conn)
	far, _ = accepted.(*socket.Conn)
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}

// say has the far end write, and waits until the near one has it.
func say(t *testing.T, near, far *socket.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(far, text); err != nil {
		t.Fatal(err)
	}
	if err := near.Await(); err != nil {
		t.Fatal(err)
	}
}

func TestConn_movesBytesOfAnySize(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	random := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	sent := make(chan error, 1)
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+int(random.Uint32N(200_000))) // both sides of what is short
			if _, err := far.Write(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- far.CloseWrite()
	}()
	var got []byte
	for size, p := 1, make([]byte, 1<<20); ; size = size*3%len(p) + 1 {
		n, err := near.Read(p[:size])
		got = append(got, p[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || n == 0 {
			t.Fatalf("read %d bytes of %d: %v", n, size, err)
		}
	}
	if err := <-sent; err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes came, the same: %t; %v", len(got), len(want), bytes.Equal(got, want), err)
	}
}

func TestRead_ends(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	if n, err := near.Read(nil); n != 0 || err != nil {
		t.Errorf("into nothing: %d, %v", n, err)
	}
	_ = near.SetReadDeadline(past)
	var timeout net.Error
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("after the deadline: %v", err)
	}
	_ = near.SetReadDeadline(time.Time{})
	_ = far.SetLinger(0)
	_ = far.Close() // which resets the connection
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset: %v", err)
	}
	_ = near.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestWrite_saysHowMuchWentOut(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	_ = near.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	total, piece := 0, bytes.Repeat([]byte("x"), 60_000)
	for {
		n, err := near.Write(piece)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || n != len(piece) {
			t.Fatalf("wrote %d bytes: %v", n, err)
		}
	}
	_ = near.CloseWrite()
	if got, err := io.Copy(io.Discard, far); got != int64(total) || err != nil {
		t.Errorf("%d bytes came of %d; %v", got, total, err)
	}
	_ = near.SetWriteDeadline(time.Time{})
	if n, err := near.Write(piece); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

func TestPeek_leavesWhatCame(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	if err := near.Peek(); !errors.Is(err, socket.ErrQuiet) {
		t.Errorf("nothing came: %v", err)
	}
	say(t, near, far, "ab")
	if err := near.Peek(); err != nil {
		t.Errorf("something came: %v", err)
	}
	p := make([]byte, 5)
	if n, err := near.Read(p); string(p[:n]) != "ab" || err != nil {
		t.Errorf("read %q, %v", p[:n], err)
	}
	_ = far.CloseWrite()
	if err := near.Await(); !errors.Is(err, io.EOF) {
		t.Errorf("awaited the end: %v", err)
	}
	if err := near.Peek(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestAwait_isInterrupted(t *testing.T) {
	t.Parallel()
	near, _ := pair(t)
	waited := make(chan error, 1)
	go func() { waited <- near.Await() }()
	_ = near.SetReadDeadline(past)
	if err := <-waited; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestAsk_returnsWhatIsAnswered(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	go func() {
		p := make([]byte, 100)
		for {
			n, err := far.Read(p)
			if err != nil {
				_ = far.Close()
				return
			}
			_, _ = far.Write(bytes.ToUpper(p[:n]))
		}
	}()
	p := make([]byte, 100)
	for range 1000 {
		request := p[:copy(p, "hello")] // in the memory that the answer comes to
		if sent, n, err := near.Ask(request, p); sent != 5 || string(p[:n]) != "HELLO" || err != nil {
			t.Fatalf("sent %d, got %q, %v", sent, p[:n], err)
		}
	}
	_ = near.CloseWrite()
	if _, err := io.ReadAll(near); err != nil { // the far end has closed
		t.Fatal(err)
	}
	if sent, n, err := near.Ask([]byte("hello"), p); sent != 0 || n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("of nobody: sent %d, got %d, %v", sent, n, err)
	}
}

func TestAsk_deadlines(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	p := make([]byte, 100)
	_ = near.SetReadDeadline(past)
	if sent, _, err := near.Ask([]byte("one"), p); sent != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("too late: sent %d, %v", sent, err)
	}
	_ = near.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if sent, _, err := near.Ask([]byte("two"), p); sent != 3 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("without an answer: sent %d, %v", sent, err)
	}
	if n, err := far.Read(p); string(p[:n]) != "two" || err != nil {
		t.Errorf("the far end got %q, %v", p[:n], err)
	}
}

// A server may answer a request that it does not read.
func TestAsk_readsThoughItCannotSend(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	say(t, near, far, "no")
	_ = near.CloseWrite()
	p := make([]byte, 100)
	if sent, n, err := near.Ask([]byte("please"), p); sent != 0 || string(p[:n]) != "no" || err != nil {
		t.Errorf("sent %d, got %q, %v", sent, p[:n], err)
	}
}

func TestAsk_waitsForRoom(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	filler := bytes.Repeat([]byte("x"), 1<<20)
	_ = near.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	before := 0
	for {
		n, err := near.Write(filler)
		if before += n; err != nil {
			break
		}
	}
	_ = near.SetWriteDeadline(time.Time{})
	request := bytes.Repeat([]byte("y"), 50_000)
	got := make(chan int64, 1)
	go func() {
		n, _ := io.CopyN(io.Discard, far, int64(before+len(request)))
		_, _ = far.Write([]byte("all"))
		got <- n
	}()
	p := make([]byte, 100)
	if sent, n, err := near.Ask(request, p); sent != len(request) || string(p[:n]) != "all" || err != nil {
		t.Errorf("sent %d of %d, got %q, %v", sent, len(request), p[:n], err)
	}
	if n := <-got; n != int64(before+len(request)) {
		t.Errorf("%d bytes came of %d", n, before+len(request))
	}
}

func TestConn_allocatesNothing(t *testing.T) { //nolint:paralleltest // allocations are counted
	near, far := pair(t)
	p, q := make([]byte, 100), []byte("hello")
	if n := testing.AllocsPerRun(100, func() {
		_, _ = near.Write(q)
		_, _ = far.Read(p)
		_, _ = far.Write(q)
		_, _, _ = near.Ask(q, p)
		_, _ = far.Read(p)
		_ = near.Peek()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
