package app

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestListen_noticesAHalfOpenConnection looks at what the kernel was told: a
// connection whose packets are lost cannot be made without more rights.
func TestListen_noticesAHalfOpenConnection(t *testing.T) {
	t.Parallel()
	l, err := listen(t.Context(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for name, ln := range map[string]net.Listener{"people": l.people, "agents": l.agents, "metrics": l.metrics} {
		var d net.Dialer
		client, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			t.Fatalf("%s: %T", name, conn)
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		seconds := 0
		if err := raw.Control(func(fd uintptr) {
			idle, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			interval, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
			count, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
			if on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); err == nil && on == 1 {
				seconds = idle + interval*count
			}
		}); err != nil {
			t.Fatal(err)
		}
		if seconds != 30 {
			t.Errorf("%s: a peer that is gone is noticed after %d s, want 30", name, seconds)
		}
	}
}
