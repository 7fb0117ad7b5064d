package stream

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// position is a place in the stream, the same for every server of a database:
// which bars have been reported closed, in the order of their end, interval
// and symbol, which revisions, and which changes of alerts. A revision of a bar
// not yet reported closed is part of its close.
type position struct {
	upto      time.Time // end of the last bar reported closed
	timeframe timeframe // its interval; none when all that end at upto are
	symbol    string
	revision  int64
	change    int64
}

// everyInterval stands in an id for the timeframe of a whole position.
const everyInterval = "*"

// String is the id of an event. A client sends it back in a header, so that all
// but ASCII in a symbol is escaped.
func (p position) String() string {
	name := p.timeframe.name
	if p.whole() {
		name = everyInterval
	}
	return fmt.Sprintf("%d.%s.%d.%d.%s", p.upto.Unix(), name, p.revision, p.change, url.PathEscape(p.symbol))
}

// maxID bounds an id, in bytes: 64 of the symbol, each escaped, and the rest.
const maxID = 320

var errID = errors.New("want the id of an event of this stream")

func parsePosition(id string) (position, error) {
	parts := strings.SplitN(id, ".", 5)
	if len(parts) != 5 || len(id) > maxID {
		return position{}, errID
	}
	upto, err1 := strconv.ParseInt(parts[0], 10, 64)
	var tf timeframe
	var err2 error
	if parts[1] != everyInterval {
		tf, err2 = parseTimeframe(parts[1])
	}
	revision, err3 := strconv.ParseInt(parts[2], 10, 64)
	change, err4 := strconv.ParseInt(parts[3], 10, 64)
	symbol, err5 := url.PathUnescape(parts[4])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || revision < 0 || change < 0 || upto < 0 || upto > 1<<36 {
		return position{}, errID
	}
	return position{time.Unix(upto, 0).UTC(), tf, symbol, revision, change}, nil
}

// whole reports whether every bar that ends at upto has been reported.
func (p position) whole() bool { return p.timeframe.name == "" }

// closed reports whether the bar of symbol that ended at end has been
// reported.
func (p position) closed(end time.Time, tf timeframe, symbol string) bool {
	if c := end.Compare(p.upto); c != 0 || p.whole() {
		return c <= 0
	}
	return cmp.Or(tf.compare(p.timeframe), strings.Compare(symbol, p.symbol)) <= 0
}

// whole is the position when every bar that ended by upto has been reported.
func whole(upto time.Time, revision, change int64) position {
	return position{upto: upto, revision: revision, change: change}
}
