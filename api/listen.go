package api

import (
	"net"
	"time"
)

// paced gives each write of its connections a timeout of its own. fasthttp's
// timeout is for the whole answer and would end a healthy stream; a client that
// stops reading is disconnected in both cases.
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
