package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/serve"
	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// maxServed is the largest number of texts of a model that are written at once.
const maxServed = 1024

// serveFlags are the flags of serve.
type serveFlags struct {
	modelFlags
	modes           modeFlags
	listen, pprof   string
	keys            string
	anyone          bool
	origins         []string
	drafts          []string
	tlsCert, tlsKey string
	memory, body    byteSize
	kvMemory        byteSize
	prefixes        byteSize
	texts, queue    count
	timeout, drain  time.Duration
	log             string
	jsonLog         bool
}

func newServe() *cobra.Command {
	flags := serveFlags{
		texts:    count{value: 32, least: 1, most: maxServed},
		queue:    count{value: 256, least: 1, most: math.MaxInt32},
		body:     serve.DefaultBody,
		prefixes: 1 << 30,
	}
	cmd := &cobra.Command{
		Use:   "serve MODEL...",
		Short: "Answer OpenAI's HTTP API",
		Long: `Answer OpenAI's HTTP API with the models given: chat completions, completions, models, and beside them
/tokenize, /detokenize, /health and /metrics. Many texts are written at once, each as if it were alone.
At / is a page to talk to the models.

A MODEL is a .tti file, a folder of which every .tti file is served, or what tti convert takes: a model
directory, or a model of the HuggingFace hub by its id or the address of its page, which is converted into the user's cache directory first; tti list shows
what is there of the hub. NAME=MODEL gives a model
another name than its own. Files are opened when they are first asked for.

Every answer carries its seed. With --log, requests and answers are kept, and tti replay computes them
again.

Beyond this machine (--listen with another address) clients need a key of --keys, unless
--allow-anyone is given. An interrupt lets the requests that run finish, as long as --drain says.`,
		Example: `  tti serve fable-llama.tti
  tti serve testdata/fable-llama
  tti serve Qwen/Qwen3-0.6B --mode int4
  tti serve models/ --memory 16GB --log answers.jsonl
  tti serve small=qwen.tti --listen 0.0.0.0:8080 --keys keys.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no models given, want at least one MODEL")
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := flags.check(cmd); err != nil {
				return err
			}
			return flags.run(ctx, cmd, args)
		}),
	}
	set := cmd.Flags()
	set.SortFlags = false
	set.StringVar(&flags.listen, "listen", "127.0.0.1:8080", "`ADDRESS` to listen on")
	set.StringVar(&flags.keys, "keys", "", "`FILE` with a client in each line: a name and its key, or sha256: and the key's digest")
	set.BoolVar(&flags.anyone, "allow-anyone", false, "listen beyond this machine without keys")
	set.StringVar(&flags.tlsCert, "tls-cert", "", "`FILE` with the certificate for TLS")
	set.StringVar(&flags.tlsKey, "tls-key", "", "`FILE` with the certificate's key")
	set.StringArrayVar(&flags.origins, "cors", nil, "let pages of this `ORIGIN` use the server, such as https://example.org, or * for all")
	set.StringArrayVar(&flags.drafts, "draft", nil, "guess tokens ahead with `[MODEL=]{MODEL|ngram}`, for one model or for all. Answers never depend on it")
	set.StringVar(&flags.log, "log", "", "append requests and answers to this `FILE`, for tti replay")
	set.BoolVar(&flags.jsonLog, "json", false, "write the lines about requests on standard error as JSON")
	set.StringVar(&flags.pprof, "pprof", "", "`ADDRESS` on this machine for profiles")
	set.Var(&flags.memory, "memory", "memory that open models may take together, such as 16GB; 0: no bound")
	set.Var(&flags.kvMemory, "kv-memory", "memory that a model's keys and values may take; 0: no bound")
	set.Var(&flags.prefixes, "prefix-memory", "memory for keys and values of texts that were written, for those that begin alike; 0: none")
	set.Var(&flags.texts, "texts", "texts of a model that are written at once")
	set.Var(&flags.queue, "queue", "requests of a model that may wait; more are told to come back")
	set.Var(&flags.body, "max-body", "largest request")
	set.DurationVar(&flags.timeout, "timeout", serve.DefaultTimeout, "longest `TIME` for a request")
	set.DurationVar(&flags.drain, "drain", 30*time.Second, "`TIME` for running requests to finish in when the server ends")
	flags.register(cmd)
	flags.modes.register(cmd)
	return cmd
}

func (f *serveFlags) check(cmd *cobra.Command) error {
	switch {
	case !serve.IsLoopback(f.listen) && f.keys == "" && !f.anyone:
		return usagef(cmd, "--listen %s is reached from other machines: want --keys, or --allow-anyone", f.listen)
	case f.pprof != "" && !serve.IsLoopback(f.pprof):
		return usagef(cmd, "--pprof %s is reached from other machines", f.pprof)
	case (f.tlsCert == "") != (f.tlsKey == ""):
		return usagef(cmd, "--tls-cert and --tls-key belong together")
	case f.timeout <= 0 || f.drain < 0:
		return usagef(cmd, "--timeout and --drain are times, such as 10m")
	}
	return nil
}

// run serves until ctx is done.
func (f *serveFlags) run(ctx context.Context, cmd *cobra.Command, args []string) (err error) {
	threads := runtime.NewThreads(f.threads.value)
	defer threads.Close()
	defer engine.SpareProcessor(threads)()
	options := serve.Options{
		Threads: threads,
		Model:   append(f.kvOption(), runtime.WithKVLimit(int64(f.kvMemory))),
		Context: f.context.value,
		Engine:  engine.Options{Texts: f.texts.value, Queue: f.queue.value, Prefixes: cmp.Or(int64(f.prefixes), -1)},
		Memory:  int64(f.memory),
		Origins: f.origins,
		MaxBody: int64(f.body),
		Timeout: f.timeout,
		Log:     f.logger(cmd),
	}
	if f.keys != "" {
		if options.Keys, err = serve.ReadKeys(f.keys); err != nil {
			return err
		}
	}
	sources, err := f.sources(ctx, cmd, args)
	if err != nil {
		return err
	}
	if options.Drafts, err = f.draftsByModel(ctx, cmd); err != nil {
		return err
	}
	if f.log != "" {
		if options.Record, err = serve.NewRecorder(f.log); err != nil {
			return err
		}
		defer func() { err = cmp.Or(err, options.Record.Close()) }()
	}
	server, err := serve.New(sources, options)
	if err != nil {
		return err
	}
	defer server.Close()
	return f.answer(ctx, cmd, server)
}

// answer listens until ctx is done.
func (f *serveFlags) answer(ctx context.Context, cmd *cobra.Command, server *serve.Server) error {
	configuration, scheme := (*tls.Config)(nil), "http"
	if f.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
		if err != nil {
			return err
		}
		configuration, scheme = &tls.Config{Certificates: []tls.Certificate{pair}}, "https"
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	if f.pprof != "" {
		profiles, err := net.Listen("tcp", f.pprof)
		if err != nil {
			listener.Close()
			return err
		}
		defer profiles.Close()
		go http.Serve(profiles, serve.Profiles())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "listening on %s://%s/v1\n", scheme, listener.Addr())
	return server.Listen(ctx, listener, configuration, f.drain)
}

func (f *serveFlags) logger(cmd *cobra.Command) *slog.Logger {
	if f.jsonLog {
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
}

// kvOption returns what --kv means to runtime.Open.
func (f *modelFlags) kvOption() (options []runtime.Option) {
	for _, encoding := range cacheEncodings {
		if f.kv.value == encoding.String() {
			options = append(options, runtime.WithKV(encoding))
		}
	}
	return options
}

// draftsByModel returns what guesses for each model, and under "" for those that are not named.
func (f *serveFlags) draftsByModel(ctx context.Context, cmd *cobra.Command) (map[string][]string, error) {
	drafts := map[string][]string{}
	for _, flag := range f.drafts {
		name, draft, _ := cutName(flag)
		file, err := draftFile(ctx, cmd, draft)
		if err != nil {
			return nil, err
		}
		drafts[name] = append(drafts[name], file)
	}
	return drafts, nil
}

// cutName cuts NAME=MODEL, whose name may be missing. An address may have a = of its own.
func cutName(text string) (name, model string, named bool) {
	if name, model, named = strings.Cut(text, "="); !named || strings.Contains(name, "://") {
		return "", text, false
	}
	return name, model, true
}

// sources finds what the arguments name. What is no .tti file yet is made one.
func (f *serveFlags) sources(ctx context.Context, cmd *cobra.Command, args []string) (sources []serve.Source, err error) {
	options, err := f.modes.options(cmd)
	if err != nil {
		return nil, err
	}
	for _, arg := range args {
		name, path, named := cutName(arg)
		r, isHub, err := hubReference(path)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(path)
		_, inner := os.Stat(filepath.Join(path, "config.json"))
		isFolder := err == nil && info.IsDir()
		switch {
		case isHub:
			name = cmp.Or(name, r.Repository)
			path, err = cachedFile(ctx, cmd, r, options)
		case isFolder && inner == nil:
			name = cmp.Or(name, filepath.Base(path))
			path, err = convertedDirectory(ctx, cmd, path, options)
		case isFolder && named:
			err = usagef(cmd, "%s names a folder, whose files have names of their own", arg)
		case !isFolder:
			err = checkFile(path)
		}
		if err != nil {
			return nil, err
		}
		sources = append(sources, serve.Source{Name: name, Path: path})
	}
	return sources, nil
}

// convertedDirectory returns the .tti file of a model directory, in the user's cache directory. It is made every time, for the directory may have
// changed.
func convertedDirectory(ctx context.Context, cmd *cobra.Command, directory string, o convert.Options) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	source, err := resolve(ctx, cmd, directory)
	if err != nil {
		return "", err
	}
	mode, err := o.ModeName()
	if err != nil {
		return "", err
	}
	file, err := defaultTarget(directory, "-"+mode)
	if err != nil {
		return "", err
	}
	whole, err := filepath.Abs(directory) // the same name may be of another one tomorrow
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "tti", "serve", fmt.Sprintf("%016x", xxhash.Sum64String(whole)))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(folder, file)
	return path, workOn(source).run(ctx, cmd, path, o)
}

// byteSize is a flag for a number of bytes, such as 16GB.
type byteSize int64

var byteUnits = []struct {
	name  string
	bytes float64
}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1}}

func (b *byteSize) String() string {
	if *b == 0 {
		return "0"
	}
	return strings.ReplaceAll(humanSize(int64(*b)), " ", "")
}
func (b *byteSize) Type() string { return "SIZE" }
func (b *byteSize) Set(text string) error {
	for _, unit := range byteUnits {
		digits, found := strings.CutSuffix(text, unit.name)
		if !found {
			continue
		}
		value, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(value >= 0) || value*unit.bytes > 1e18 {
			break
		}
		*b = byteSize(value * unit.bytes)
		return nil
	}
	return errors.New("want a size, such as 500MB or 16GB")
}
