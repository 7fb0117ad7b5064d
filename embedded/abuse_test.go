package embedded

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/hypertick/hypertick/internal/wait"
)

// TestGarbage sends malformed messages. The server may reject them, and must
// continue to serve others.
func TestGarbage(t *testing.T) {
	d := sharedDatabase(t)
	good := connect(t, d, "postgres")
	random := rand.New(rand.NewPCG(7, 7))
	for i := range 300 {
		conn, err := net.Dial("tcp", d.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if i%10 > 0 {
			startup := &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "postgres", "database": "postgres"}}
			packet, err := startup.Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(packet)
		}
		_, _ = conn.Write(garbage(t, random))
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = conn.Read(make([]byte, 1<<16)) // an answer, an end or nothing
		_ = conn.Close()
		if i%20 == 0 {
			value[int](t, good, `select $1::int`, i)
		}
	}
	value[int](t, good, `select 1`)
}

// garbage is a sequence of valid messages with some bytes changed.
func garbage(t *testing.T, random *rand.Rand) []byte {
	messages := []pgproto3.FrontendMessage{
		&pgproto3.Query{String: "select 1"},
		&pgproto3.Query{String: "copy pg_class to stdout"},
		&pgproto3.Query{String: "copy nothing from stdin"},
		&pgproto3.Parse{Name: "s", Query: "select $1::int", ParameterOIDs: []uint32{23}},
		&pgproto3.Parse{Query: "select $1::text"},
		&pgproto3.Bind{PreparedStatement: "s", DestinationPortal: "p", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 0, 0, 1}}, ResultFormatCodes: []int16{1}},
		&pgproto3.Bind{Parameters: [][]byte{nil}},
		&pgproto3.Describe{ObjectType: 'S', Name: "s"},
		&pgproto3.Execute{Portal: "p", MaxRows: 1},
		&pgproto3.Execute{},
		&pgproto3.Close{ObjectType: 'P', Name: "p"},
		&pgproto3.CopyData{Data: []byte("1\t2\n")},
		&pgproto3.CopyDone{},
		&pgproto3.CopyFail{Message: "no"},
		&pgproto3.Flush{},
		&pgproto3.Sync{},
	}
	var out []byte
	for range 1 + random.IntN(8) {
		from := len(out)
		var err error
		if out, err = messages[random.IntN(len(messages))].Encode(out); err != nil {
			t.Fatal(err)
		}
		switch m := out[from:]; random.IntN(4) {
		case 0: // another body
			for i := 5; i < len(m); i++ {
				if random.IntN(6) == 0 {
					m[i] = byte(random.Uint32())
				}
			}
		case 1: // another type
			m[0] = byte(random.Uint32())
		case 2: // another length
			binary.BigEndian.PutUint32(m[1:], random.Uint32()>>random.IntN(32))
		}
	}
	return out
}

// TestBackendCrash brings PostgreSQL's WASM down: clients are told, and the
// server starts again.
func TestBackendCrash(t *testing.T) {
	d := startDatabase(t, DatabaseConfig{Restart: true, Relaxed: true})
	conn, other := connect(t, d, "postgres"), connect(t, d, "postgres")
	run(t, conn, `create table kept as select 42 as a`)
	deep := func(n int) string { return "select " + strings.Repeat("1+", n) + "1" }
	if got := value[int](t, conn, deep(5_000)); got != 5_001 {
		t.Errorf("a deep expression gives %d", got)
	}
	_, err := conn.Exec(t.Context(), deep(200_000))
	wantCode(t, err, "57P02")
	_, err = other.Exec(t.Context(), `select 1`)
	var pgErr *pgconn.PgError
	if err == nil || errors.As(err, &pgErr) && pgErr.Code != "57P02" {
		t.Errorf("another client got %v", err)
	}
	wait.Until(t, "the server to start again", func() bool {
		conn, err := pgx.Connect(t.Context(), d.URL("postgres"))
		if err != nil {
			return false
		}
		defer conn.Close(t.Context()) //nolint:errcheck // only read
		var got int
		return conn.QueryRow(t.Context(), `select a from kept`).Scan(&got) == nil && got == 42
	})
}

// TestStopDuringAStatement stops a server that is busy.
func TestStopDuringAStatement(t *testing.T) {
	d := startDatabase(t, DatabaseConfig{Relaxed: true})
	conn := connect(t, d, "postgres")
	ended := make(chan error)
	go func() {
		_, err := conn.Exec(t.Context(), `select count(*) from generate_series(1, 1000000000)`)
		ended <- err
	}()
	wait.Until(t, "the statement to run", func() bool {
		probe, err := net.DialTimeout("tcp", d.Addr(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer probe.Close()                                    //nolint:errcheck // only a probe
		_, _ = probe.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}) // asks for TLS: any answer is an idle server
		_ = probe.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, _ := probe.Read(make([]byte, 1))
		return n == 0
	})
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the statement has ended well")
	}
	if code := d.current().cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
