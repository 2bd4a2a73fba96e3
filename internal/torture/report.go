package torture

import (
	"errors"
	"fmt"
)

// Report is what a run has done and found.
type Report struct {
	Run    string `json:"run"`
	Seed   uint64 `json:"seed"`
	Cycles int    `json:"cycles"`
	Counts
	Difference
	Problems  []string `json:"problems,omitempty"`   // promises that were broken in other ways
	TooLittle string   `json:"too_little,omitempty"` // why the run proves nothing
	Notes     []string `json:"notes,omitempty"`

	tallies tallies
}

// tallies count what was done while a disk was full.
type tallies struct{ delivered, replayed int }

// merge adds what another run with its own directory has done and found.
func (r *Report) merge(other *Report) {
	r.Cycles += other.Cycles
	r.add(&other.Difference, other.Counts)
	r.Notes = append(r.Notes, other.Notes...)
	r.Problems = append(r.Problems, other.Problems...)
	if other.TooLittle != "" {
		r.TooLittle = other.TooLittle
	}
}

// add adds what one directory shows.
func (r *Report) add(found *Difference, counts Counts) {
	r.Stored, r.Dead = r.Stored+found.Stored, r.Dead+found.Dead
	r.Lost, r.Twice, r.Unsent = append(r.Lost, found.Lost...), append(r.Twice,
		found.Twice...), append(r.Unsent, found.Unsent...)
	r.Posts, r.Acked = r.Posts+counts.Posts, r.Acked+counts.Acked
	r.Unanswered, r.Refused, r.Retried = r.Unanswered+counts.Unanswered, r.Refused+counts.Refused, r.Retried+counts.Retried
	r.Repeated += counts.Repeated
}

// Err is the verdict: nil where every promise was kept and the run has done enough to say so.
func (r *Report) Err() error {
	err := r.Broken()
	if r.TooLittle != "" {
		err = errors.Join(err, errors.New(r.TooLittle))
	}
	return err
}

// Broken is nil unless a promise was broken.
func (r *Report) Broken() error {
	errs := []error{r.Difference.Err()}
	for _, problem := range r.Problems {
		errs = append(errs, errors.New(problem))
	}
	return errors.Join(errs...)
}

func (r *Report) fail(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Report) String() string {
	return fmt.Sprintf("%s: seed %d, %d cycles, %d posts, %d acknowledged, %d without an answer, %d refused, %d posted again, %d repeats got their first receipt; %d stored, %d dead letters, %d lost, %d twice, %d never sent",
		r.Run, r.Seed, r.Cycles, r.Posts, r.Acked, r.Unanswered, r.Refused, r.Retried, r.Repeated, r.Stored, r.Dead, len(r.Lost), len(r.Twice), len(r.Unsent))
}

// luckless is how many cycles may end before anything was acknowledged.
const luckless = 3

// expect fails a run that has done too little to prove anything.
func (r *Report) expect(cycles, ackedPerCycle int) {
	acked := max(1, cycles-luckless) * ackedPerCycle
	if r.Cycles < cycles || r.Acked < acked || r.Repeated == 0 {
		r.TooLittle = fmt.Sprintf("too little was done to prove anything: %d cycles and %d acknowledgements, want %d and %d, and %d repeats, want some", r.Cycles, r.Acked, cycles, acked, r.Repeated)
	}
}

// finish reads what is left, and audits it with the binary.
func (r *Report) finish(clients *Clients, binary, data string, store *Store, args ...string) error {
	if err := Audit(binary, data, args...); err != nil {
		r.fail("%v", err)
	}
	difference, err := clients.Compare(data, store)
	if err != nil {
		return err
	}
	r.Difference, r.Counts = *difference, clients.Counts()
	r.Problems = append(r.Problems, clients.broken...)
	return nil
}
