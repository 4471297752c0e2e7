package train

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// goldens of Keras 3 and PyTorch: see note in the file and bench/goldens/schedules.py, which made it.
type goldens struct {
	Note      string
	Schedules []struct {
		Framework, Schedule string
		LearningRate        float64 `json:"learning_rate"`
		Config              map[string]any
		Rates               []float64
	}
	Plateau []struct {
		Config struct {
			Factor, Cooldown float64
			Patience         int
			MinDelta         float64 `json:"min_delta"`
			MinRate          float64 `json:"min_lr"`
		}
		LearningRate float64   `json:"learning_rate"`
		ValLoss      []float64 `json:"val_loss"`
		Rates        []float64
	} `json:"reduce_lr_on_plateau"`
	EarlyStopping []struct {
		Config struct {
			Patience       int
			MinDelta       float64 `json:"min_delta"`
			Restore        bool    `json:"restore_best_weights"`
			StartFromEpoch int     `json:"start_from_epoch"`
		}
		ValLoss      []float64 `json:"val_loss"`
		StoppedEpoch *int      `json:"stopped_epoch"`
		BestEpoch    *int      `json:"best_epoch"`
	} `json:"early_stopping"`
}

func readGoldens(t *testing.T) goldens {
	t.Helper()
	text, err := os.ReadFile("testdata/schedules.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Schedules) < 10 || len(g.Plateau) < 5 || len(g.EarlyStopping) < 5 {
		t.Fatalf("%d schedules, %d plateaus, %d stops: goldens are missing", len(g.Schedules), len(g.Plateau), len(g.EarlyStopping))
	}
	return g
}

// TestSchedules compares every step's rate. A step is an epoch here, so that lengths in epochs are the goldens' steps.
func TestSchedules(t *testing.T) {
	t.Parallel()
	for _, g := range readGoldens(t).Schedules {
		number := func(key string) float64 {
			v, ok := g.Config[key].(float64)
			if !ok {
				t.Fatalf("%s has no number %s", g.Schedule, key)
			}
			return v
		}
		floats := func(key string) (list []float64) {
			values, ok := g.Config[key].([]any)
			if !ok {
				t.Fatalf("%s has no list %s", g.Schedule, key)
			}
			for _, v := range values {
				f, ok := v.(float64)
				if !ok {
					t.Fatalf("%s: %v is no number", g.Schedule, v)
				}
				list = append(list, f)
			}
			return list
		}
		r := NewRecipe()
		r.LearningRate = g.LearningRate
		span := Span{StepsPerEpoch: 1, Epochs: len(g.Rates)}
		switch g.Schedule {
		case "PiecewiseConstantDecay":
			r.SetSchedule(Piecewise{floats("boundaries"), floats("values")})
		case "ExponentialDecay":
			r.LearningRate = number("initial_learning_rate")
			r.SetSchedule(Exponential{Rate: number("decay_rate"), Every: number("decay_steps"), Staircase: g.Config["staircase"] == true})
		case "CosineDecay":
			r.LearningRate = number("initial_learning_rate")
			if g.Config["warmup_target"] != nil {
				r.LearningRate = number("warmup_target")
				r.Warmup = number("warmup_steps")
				r.WarmupStart = number("initial_learning_rate") / r.LearningRate
			}
			r.SetSchedule(Cosine{Alpha: number("alpha"), Epochs: number("decay_steps")})
		case "CosineAnnealingLR":
			r.SetSchedule(Cosine{Alpha: number("eta_min") / g.LearningRate, Epochs: number("T_max")})
		case "OneCycleLR":
			r.LearningRate = number("max_lr")
			span.Epochs = int(number("total_steps"))
			r.SetSchedule(OneCycle{
				Warmup: number("pct_start"), DivFactor: number("div_factor"), FinalDivFactor: number("final_div_factor"),
				Linear: g.Config["anneal_strategy"] == "linear",
			})
		case "StepLR":
			r.SetSchedule(Step{Every: number("step_size"), Factor: number("gamma")})
		case "LinearLR":
			r.Warmup, r.WarmupStart = number("total_iters"), number("start_factor")
		default:
			t.Errorf("there is no test for %s", g.Schedule)
			continue
		}
		for step, want := range g.Rates {
			// Both sides compute in float64 and round in different places.
			if got := r.Rate(int64(step), span); math.Abs(got-want) > 1e-14*math.Abs(r.LearningRate)+1e-13*math.Abs(want) {
				t.Errorf("%s %v: step %d: %.17g, want %.17g", g.Schedule, g.Config, step, got, want)
				break
			}
		}
	}
}

func TestLinear(t *testing.T) {
	t.Parallel()
	r := NewRecipe()
	r.LearningRate, r.Warmup = 1, 1
	r.SetSchedule(Linear{})
	span := Span{StepsPerEpoch: 4, Epochs: 3}
	for step, want := range []float64{0, 0.25, 0.5, 0.75, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0} {
		if got := r.Rate(int64(step), span); got != want {
			t.Errorf("step %d: %g, want %g", step, got, want)
		}
	}
}

func TestPlateau(t *testing.T) {
	t.Parallel()
	for _, g := range readGoldens(t).Plateau {
		p := ReduceLROnPlateau{
			Factor: g.Config.Factor, Patience: g.Config.Patience, MinDelta: g.Config.MinDelta,
			Cooldown: int(g.Config.Cooldown), MinRate: g.Config.MinRate,
		}
		var w watch
		rate := g.LearningRate
		for epoch, loss := range g.ValLoss {
			if rate = p.step(&w, Record{ValLoss: loss}, epoch, rate); rate != g.Rates[epoch] {
				t.Errorf("%+v: the rate after epoch %d is %.17g, want %.17g", g.Config, epoch, rate, g.Rates[epoch])
				break
			}
		}
	}
}

func TestEarlyStopping(t *testing.T) {
	t.Parallel()
	for _, g := range readGoldens(t).EarlyStopping {
		s := EarlyStopping{
			Patience: g.Config.Patience, MinDelta: g.Config.MinDelta, StartFromEpoch: g.Config.StartFromEpoch,
			RestoreBestWeights: g.Config.Restore,
		}
		var w watch
		stopped := -1
		for epoch, loss := range g.ValLoss {
			if _, stop := s.step(&w, Record{ValLoss: loss}, epoch); stop {
				stopped = epoch
				break
			}
		}
		want := -1
		if g.StoppedEpoch != nil {
			want = *g.StoppedEpoch
		}
		if stopped != want {
			t.Errorf("%+v: stopped at %d, want %d", g.Config, stopped, want)
		}
		if g.BestEpoch != nil && w.BestAt != *g.BestEpoch {
			t.Errorf("%+v: the best epoch is %d, want %d", g.Config, w.BestAt, *g.BestEpoch)
		}
	}
}

func TestRecipeErrors(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Recipe){
		"epochs is from 1":                   func(r *Recipe) { r.Epochs = 0 },
		"batch_size is at least 1":           func(r *Recipe) { r.BatchSize = -1 },
		"learning_rate lies in":              func(r *Recipe) { r.LearningRate = math.NaN() },
		`optimizer "lion" is unknown`:        func(r *Recipe) { r.Optimizer = "lion" },
		"warmup lies in [0, 10]":             func(r *Recipe) { r.Warmup = 11 },
		"has its own warm-up":                func(r *Recipe) { r.Warmup = 1; r.SetSchedule(OneCycle{0.3, 25, 1e4, false}) },
		"takes a constant schedule":          func(r *Recipe) { r.ReduceLROnPlateau = NewReduceLROnPlateau(); r.SetSchedule(Cosine{}) },
		"takes no warmup":                    func(r *Recipe) { r.ReduceLROnPlateau = NewReduceLROnPlateau(); r.Warmup = 1 },
		"monitor is one of":                  func(r *Recipe) { r.EarlyStopping = &EarlyStopping{Monitor: "f1"} },
		"ema: momentum lies in [0, 1)":       func(r *Recipe) { r.EMA.Momentum = 1 },
		"flip is one of none, random, alter": func(r *Recipe) { r.Augment.Flip = "up" },
		"schedule step: every is above 0":    func(r *Recipe) { r.SetSchedule(Step{Factor: 0.5}) },
		"boundaries rise":                    func(r *Recipe) { r.SetSchedule(Piecewise{[]float64{2, 1}, []float64{1, 2, 3}}) },
	} {
		r := NewRecipe()
		change(&r)
		if err := r.Check(); err == nil || !contains(err, want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
