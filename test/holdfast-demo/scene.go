package main

import (
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// A scene is what happens in all plants for a while. Whoever plays a part in it makes up the whole of it by itself, from
// the same seed, so that nobody has to tell the others.
const (
	sceneParts = 12
	sceneEvery = time.Second
	scenePause = 4 * time.Second
	// sceneRounds is how many lots each machine makes in a scene.
	sceneRounds = 5
	sceneSpan   = sceneRounds * (sceneParts*sceneEvery + scenePause)
)

// scene makes up the n-th one of a show that began at begin. Roughly one lot in four has something wrong with it.
func scene(seed uint64, begin time.Time, n int) (*company.Stream, time.Time, error) {
	start := dialect.Stamp(begin.Add(time.Duration(n) * sceneSpan))
	plants := len(dialect.Sites())
	each := len(dialect.Presses()) * sceneRounds // lots of a plant
	plan := company.Plan{
		Start: start, Lots: plants * each, First: n * each, Parts: sceneParts, Every: sceneEvery, Pause: scenePause, Delay: 6 * time.Second, Signals: 1,
		Failing: 40, Unsafe: 40, FailFinal: 20, Corrected: 10, Held: 30, Lifted: 20, HeldLate: 30, Rejected: 20, Reworked: 10, WrongUnit: 5,
		Shared: 50, Ordered: 300, Hurried: 200, Duplicated: 10, Late: 5, Swapped: 10,
	}
	stream, err := company.Generate(seed+uint64(n), plan)
	if err != nil {
		return nil, start, fmt.Errorf("make up scene %d: %w", n, err)
	}
	return stream, start, nil
}
