package serve

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tti-llm/tti/spec/engine"
)

// metrics are what Prometheus can ask for.
type metrics struct {
	handler    http.Handler
	requests   *prometheus.CounterVec
	tokens     *prometheus.CounterVec
	firstToken *prometheus.HistogramVec
	gaps       *prometheus.HistogramVec
}

// seconds are the buckets of times of tokens: from what a small model takes to what a long queue does.
var seconds = prometheus.ExponentialBuckets(0.001, 2, 17)

func newMetrics(models *models) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tti_requests_total", Help: "Requests that were answered, by endpoint and status."}, []string{"endpoint", "status"}),
		tokens:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tti_tokens_total", Help: "Tokens of prompts and of texts, by model."}, []string{"model", "kind"}),
		firstToken: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tti_first_token_seconds", Help: "Time from a request to its first token.", Buckets: seconds},
			[]string{"model"}),
		gaps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tti_between_tokens_seconds", Help: "Time between two tokens of a text.", Buckets: seconds},
			[]string{"model"}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.tokens, m.firstToken, m.gaps, engineCollector{models},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) serve(w http.ResponseWriter, r *http.Request) error {
	m.handler.ServeHTTP(w, r)
	return nil
}

// answered counts the texts of a request.
func (m *metrics) answered(about *seen) {
	a := about.answer
	m.tokens.WithLabelValues(about.model, "prompt").Add(float64(a.usage.Prompt))
	m.tokens.WithLabelValues(about.model, "completion").Add(float64(a.usage.Completion))
	if !a.first.IsZero() {
		m.firstToken.WithLabelValues(about.model).Observe(a.first.Sub(about.began).Seconds())
	}
	gaps := m.gaps.WithLabelValues(about.model)
	for _, gap := range a.gaps {
		gaps.Observe(gap.Seconds())
	}
}

// engineCollector asks the engines of the open models. Counts of a model begin anew when it is opened again, as counters may.
type engineCollector struct{ models *models }

// gauge is a figure of an open model.
type gauge struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	value       func(*model, engine.Statistics) float64
}

func newGauge(name, help string, kind prometheus.ValueType, value func(*model, engine.Statistics) float64) gauge {
	return gauge{prometheus.NewDesc(name, help, []string{"model"}, nil), kind, value}
}

var gauges = []gauge{
	newGauge("tti_texts_running", "Texts that are being written.", prometheus.GaugeValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Running) }),
	newGauge("tti_requests_waiting", "Requests in the queue.", prometheus.GaugeValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Waiting) }),
	newGauge("tti_requests_refused_total", "Requests turned away because the queue was full.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Refused) }),
	newGauge("tti_steps_total", "Batches that were run.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Steps) }),
	newGauge("tti_prefilled_tokens_total", "Tokens of prompts that were computed.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Prefilled) }),
	newGauge("tti_drawn_tokens_total", "Tokens that were drawn.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Tokens) }),
	newGauge("tti_drafted_tokens_total", "Tokens that were guessed.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Drafted) }),
	newGauge("tti_accepted_tokens_total", "Guesses that were right.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Accepted) }),
	newGauge("tti_preemptions_total", "Texts whose pages were taken back for a while.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Preemptions) }),
	newGauge("tti_prefix_tokens_total", "Tokens that were looked up in the prefix cache.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Prefixes.Tokens) }),
	newGauge("tti_prefix_found_tokens_total", "Tokens that the prefix cache had.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Prefixes.Found) }),
	newGauge("tti_prefix_evicted_total", "Beginnings that the prefix cache has given up.", prometheus.CounterValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Prefixes.Evicted) }),
	newGauge("tti_prefix_bytes", "Keys and values that the prefix cache holds.", prometheus.GaugeValue, func(_ *model, s engine.Statistics) float64 { return float64(s.Prefixes.Bytes) }),
	newGauge("tti_kv_bytes", "Memory of keys and values.", prometheus.GaugeValue, func(m *model, _ engine.Statistics) float64 { return float64(m.KVTaken()) }),
}

// Describe implements prometheus.Collector.
func (engineCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, g := range gauges {
		descriptions <- g.description
	}
}

// Collect implements prometheus.Collector.
func (c engineCollector) Collect(found chan<- prometheus.Metric) {
	c.models.each(func(name string, open *model) {
		statistics := open.engine.Statistics()
		for _, g := range gauges {
			found <- prometheus.MustNewConstMetric(g.description, g.kind, g.value(open, statistics), name)
		}
	})
}
