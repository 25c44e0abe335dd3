package check

// Replays is I14: records replayed into the full database, and a database built anew, have no effect at any target.
func Replays(r *Run) Finding {
	f := &finder{invariant: "I14"}
	f.noWrites(r.End, r.Replayed, "a replay into the full database")
	f.same(r.End, r.Replayed, "a replay into the full database")
	f.noWrites(r.End, r.Rebuilt, "a database built anew")
	return f.found
}
