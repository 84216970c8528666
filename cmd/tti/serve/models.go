package serve

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

// Source is what is served: a .tti file, or a folder of which every .tti file is. Files that come into a folder later are
// served too.
type Source struct {
	Name string // what clients call the file; "" or a folder: the files' names without .tti
	Path string
}

// models are the files that can be asked for. They are opened when they first are, and closed when others need their room.
type models struct {
	sources []Source
	most    int64 // bytes of files and of keys and values that may be open at once; 0: no bound
	open    func(name, path string) (*model, error)

	mutex   sync.Mutex
	entries map[string]*entry // by name
	uses    int               // so far
	closed  bool
}

// entry is a file.
type entry struct {
	name, path string
	size       int64
	created    int64 // seconds since 1970
	chats      *bool // whether it has a chat template; nil while that is not known

	model   *model        // nil while it is not open
	opening chan struct{} // not nil while somebody opens it; closed when that is over
	users   int           // requests that use it
	used    int           // number of the latest use
}

func newModels(sources []Source, most int64, open func(name, path string) (*model, error)) (*models, error) {
	m := &models{sources: sources, most: most, open: open, entries: map[string]*entry{}}
	return m, m.scan()
}

// scan finds the files that are there now. Those that have gone are forgotten unless they are open.
func (m *models) scan() error {
	found := map[string]bool{}
	for _, source := range m.sources {
		info, err := os.Stat(source.Path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			found[m.add(cmp.Or(source.Name, nameOf(source.Path)), source.Path, info)] = true
			continue
		}
		paths, err := filepath.Glob(filepath.Join(escapeGlob(source.Path), "*.tti"))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				found[m.add(nameOf(path), path, info)] = true
			}
		}
	}
	for name, e := range m.entries {
		if !found[name] && e.model == nil && e.opening == nil {
			delete(m.entries, name)
		}
	}
	return nil
}

// add makes a file known; of two with the same name the first counts.
func (m *models) add(name, path string, info os.FileInfo) string {
	e := m.entries[name]
	if e == nil {
		e = &entry{name: name, path: path}
		m.entries[name] = e
	}
	if size, created := info.Size(), info.ModTime().Unix(); e.path == path && e.model == nil && (size != e.size || created != e.created) {
		e.size, e.created, e.chats = size, created, nil
	}
	return name
}

func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".tti") }

// escapeGlob makes a folder's name a pattern that matches nothing else.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' { // there it separates
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// cards returns what the interface says of all that there is, by name.
func (m *models) cards() ([]modelCard, error) {
	list, err := m.list()
	cards := make([]modelCard, len(list))
	for i, e := range list {
		if e.chats == nil {
			e.chats = m.lookForTemplate(e)
		}
		cards[i] = modelCard{e.name, "model", e.created, "tti", e.chats}
	}
	return cards, err
}

// lookForTemplate tells whether a file has a chat template, and keeps that. Of a file that cannot be read it tells nothing: who
// asks for the model learns why.
func (m *models) lookForTemplate(e entry) *bool {
	chats, err := hasTemplate(e.path)
	if err != nil {
		return nil
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if now := m.entries[e.name]; now != nil && now.path == e.path && now.size == e.size && now.created == e.created {
		now.chats = &chats
	}
	return &chats
}

// hasTemplate looks for a chat template without opening the model.
func hasTemplate(path string) (bool, error) {
	file, err := format.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	section, _ := file.Section(format.TokenizerName)
	content, err := file.Copy(section)
	if err != nil {
		return false, err
	}
	view, err := vocabulary.Open(content)
	if err != nil {
		return false, err
	}
	_, found := view.Settings.Templates[vocabulary.DefaultTemplate]
	return found, nil
}

// list returns what there is, by name.
func (m *models) list() ([]entry, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if err := m.scan(); err != nil {
		return nil, err
	}
	var list []entry
	for _, e := range m.entries {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// find returns the file of a name; an empty one names the only file there is.
func (m *models) find(name string) (*entry, error) {
	if e := m.entries[name]; e != nil {
		return e, nil
	}
	if err := m.scan(); err != nil {
		return nil, err
	}
	if e := m.entries[name]; e != nil {
		return e, nil
	}
	if name == "" && len(m.entries) == 1 {
		for _, e := range m.entries {
			return e, nil
		}
	}
	if name == "" {
		return nil, badField("model", "is missing, and there are %d", len(m.entries))
	}
	return nil, unknownModel(name)
}

// acquire returns the model of a name, and its name, open until release is called.
func (m *models) acquire(name string) (found *model, known string, release func(), err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	e, err := m.find(name)
	for err == nil && e.opening != nil {
		opening := e.opening
		m.mutex.Unlock()
		<-opening
		m.mutex.Lock()
		e, err = m.find(name) // if it could not be opened, it may be another one by now
	}
	if err != nil {
		return nil, "", nil, err
	}
	if e.model == nil {
		if err := m.openEntry(e); err != nil {
			return nil, "", nil, err
		}
	}
	m.uses++
	e.users++
	e.used = m.uses
	return e.model, e.name, sync.OnceFunc(func() {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		e.users--
	}), nil
}

// openEntry opens a file once there is room for it. The lock is held but for the time that opening takes.
func (m *models) openEntry(e *entry) error {
	if m.closed {
		return errDraining
	}
	if err := m.makeRoom(e.size); err != nil {
		return err
	}
	e.opening = make(chan struct{})
	m.mutex.Unlock()
	opened, err := m.open(e.name, e.path)
	m.mutex.Lock()
	close(e.opening)
	e.opening = nil
	if err != nil {
		unavailable := &Error{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf("the model %q cannot be opened", e.name), Type: serverError, Param: "model", Code: "model_unavailable"}
		return fmt.Errorf("%w: %w", unavailable, err) // why is for the log: it names the file
	}
	if m.closed { // meanwhile
		opened.close()
		return errDraining
	}
	e.model = opened
	return nil
}

// makeRoom closes models that nobody uses, the least recently used first, until there is room for so many bytes more. A model
// that is larger than all the room may be open alone.
func (m *models) makeRoom(size int64) error {
	if m.most == 0 {
		return nil
	}
	for {
		taken, idle := size, (*entry)(nil)
		open := 0
		for _, e := range m.entries {
			if e.model == nil && e.opening == nil {
				continue
			}
			open++
			if e.model == nil {
				taken += e.size
				continue
			}
			taken += e.model.size()
			if e.users == 0 && (idle == nil || e.used < idle.used) {
				idle = e
			}
		}
		switch {
		case taken <= m.most, open == 0:
			return nil
		case idle == nil:
			return &Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Message: "the models in use leave no memory for another", Type: serverError, Param: "model", Code: "out_of_memory"}
		}
		idle.model.close()
		idle.model = nil
	}
}

// each calls f with every model that is open.
func (m *models) each(f func(name string, open *model)) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for name, e := range m.entries {
		if e.model != nil {
			f(name, e.model)
		}
	}
}

// close closes all models, and none is opened any more.
func (m *models) close() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.closed = true
	for _, e := range m.entries {
		if e.model != nil {
			e.model.close()
			e.model = nil
		}
	}
}
