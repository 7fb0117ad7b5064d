package api

import (
	"net"
	"time"
)

// paced gives every write of its connections the same time anew. fasthttp's own
// timeout is for the whole answer, which would end a stream that goes well; a
// client that stops reading is cut off all the same.
type paced struct {
	net.Listener
	write time.Duration
}

func (l paced) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &pacedConn{c, l.write}, nil
}

type pacedConn struct {
	net.Conn
	write time.Duration
}

func (c *pacedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
