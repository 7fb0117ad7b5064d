package simulate

// queue is a heap of symbols by the time of their next tick, four children a
// node. Ties go to the lower index, so the order is reproducible.
type queue []event

type event struct {
	at  int64
	sym int32
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.sym < o.sym }

func (q queue) init() {
	for i := len(q)/4 + 1; i >= 0; i-- {
		q.sink(i)
	}
}

// sink restores the order after q[i] has become later.
func (q queue) sink(i int) {
	if i >= len(q) {
		return
	}
	e := q[i]
	for {
		first := 4*i + 1
		if first >= len(q) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(q)); c++ {
			if q[c].before(q[least]) {
				least = c
			}
		}
		if !q[least].before(e) {
			break
		}
		q[i] = q[least]
		i = least
	}
	q[i] = e
}
