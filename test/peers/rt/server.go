//go:build unix

// Package rt starts Request Tracker 5 on loopback, on a database of its own in a file, set up with what deploy/rt ships. Its
// database can be put back and looked into while it runs: what took place is counted there, and not in what a client says.
package rt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast-mesh/holdfast/test/peers/host"
)

// Who logs in at a server: the technical user that deploy/rt makes, and a person who may do all.
const (
	User     = "holdfast"
	Password = "rt canary/+7f3c=="
	person   = "root"
	persons  = "password" // what RT itself gives its first user
)

// Server is a Request Tracker that runs.
type Server struct {
	program, dir string
	port         int
	user         *syscall.Credential
	process      *host.Process
}

// Start sets up a database in a folder of its own, changes it by SQL where changes are given, starts a server on it and
// returns when that answers. Program is RT's rt-server.
func Start(ctx context.Context, program string, changes ...string) (s *Server, err error) {
	s = &Server{program: program}
	if s.user, err = host.Account(); err != nil {
		return nil, err
	}
	if s.dir, err = host.Dir(s.user); err != nil {
		return nil, err
	}
	if err := s.start(ctx, changes); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, changes []string) error {
	ports, err := host.Ports(1)
	if err != nil {
		return err
	}
	s.port = ports[0]
	if err := s.configure(); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"--action", "init", "--skip-create"},
		{"--action", "insert", "--skip-create", "--datafile", filepath.Join(s.dir, "holdfast.data")},
		{"--action", "insert", "--skip-create", "--datafile", filepath.Join(s.dir, "password.data")},
	} {
		if err := s.setUp(ctx, args); err != nil {
			return err
		}
	}
	for _, change := range changes {
		if err := s.Database().Exec(ctx, change); err != nil {
			return err
		}
	}
	return s.Restart(ctx)
}

// Restart ends the server where it runs and starts it anew, on the same database and address: what it has remembered of
// rights and fields is forgotten.
func (s *Server) Restart(ctx context.Context) error {
	if s.process != nil {
		s.process.End(syscall.SIGTERM)
	}
	if err := s.launch(); err != nil {
		return err
	}
	return s.await(ctx)
}

// setUp runs the program that makes RT's database. It says in its output alone what went wrong with a part of it.
func (s *Server) setUp(ctx context.Context, args []string) error {
	program, err := exec.LookPath("rt-setup-database-5")
	if err != nil {
		program = "/usr/sbin/rt-setup-database-5" // which is not in everybody's path
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.dir, s.environment(), &syscall.SysProcAttr{Credential: s.user}
	out, err := cmd.CombinedOutput()
	if err == nil && bytes.Contains(out, []byte("[error]")) {
		err = errors.New("it says so")
	}
	if err != nil {
		return fmt.Errorf("set up RT's database by %v: %w\n%s", args, err, bytes.TrimSpace(out))
	}
	return nil
}

// password gives the technical user its password, as an administrator does by hand.
const password = `@Final = ( sub {
    my $user = RT::User->new( RT->SystemUser );
    $user->Load('%s');
    my ( $ok, $message ) = $user->SetPassword('%s');
    die $message unless $ok;
} );
1;
`

// site is what RT needs beside the shipped lifecycles: where it is, and where it keeps things. Its own time zone is not UTC,
// as in a plant.
const site = `Set($rtname, 'holdfast.test');
Set($Organization, 'holdfast.test');
Set($WebDomain, '127.0.0.1');
Set($WebPort, %[2]d);
Set($WebPath, '');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '%[1]s/rtdb');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'warning');
Set($MailCommand, 'testfile');
Set($Timezone, 'Europe/Berlin');
$RT::MasonDataDir = '%[1]s/mason';
$RT::MasonSessionDir = '%[1]s/sessions';
1;
`

// configure lays what is shipped, and what it needs to run, into the folder.
func (s *Server) configure() error {
	var err error
	for _, name := range []string{"", "site.d", "mason", "sessions"} {
		dir := filepath.Join(s.dir, name)
		err = errors.Join(err, os.MkdirAll(dir, 0o755), host.Give(dir, s.user))
	}
	for _, name := range []string{"holdfast.data", "holdfast.pm"} {
		text, bad := os.ReadFile(filepath.Join(deploy(), "rt", name))
		if name == "holdfast.pm" {
			name = "site.d/holdfast.pm"
		}
		err = errors.Join(err, bad, os.WriteFile(filepath.Join(s.dir, name), text, 0o644))
	}
	for name, text := range map[string]string{"site.pm": fmt.Sprintf(site, s.dir, s.port), "password.data": fmt.Sprintf(password, User, Password)} {
		err = errors.Join(err, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
	}
	return err
}

// deploy returns the path of the folder that a plant is given.
func deploy() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "..", "deploy")
}

// Mapping returns the path of the shipped mapping.
func Mapping() string { return filepath.Join(deploy(), "config", "rt.yaml") }

func (s *Server) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, "LANG=C.UTF-8",
		"RT_SITE_CONFIG=" + filepath.Join(s.dir, "site.pm"), "RT_SITE_CONFIG_DIR=" + filepath.Join(s.dir, "site.d"),
	}
}

// launch starts the server, with several processes that answer at once, as RT is run.
func (s *Server) launch() error {
	log, err := os.Create(filepath.Join(s.dir, "rt.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has it open by itself
	cmd := exec.Command("plackup", "-s", "Starlet", "--max-workers", "3", "--host", "127.0.0.1", "--port", strconv.Itoa(s.port), s.program)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.environment(), log, log
	s.process, err = host.Start(cmd, s.user, "TERM")
	return err
}

// await waits until the server answers a log-in: the first one compiles much of RT, which no test should wait for.
func (s *Server) await(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.Call(ctx, http.MethodGet, "/queue/Nonconformance", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-s.process.Done():
			return fmt.Errorf("RT does not start: %w\n%s", s.process.Err(), s.Log())
		case <-ctx.Done():
			return fmt.Errorf("RT was not ready in time: %w\n%s", errors.Join(ctx.Err(), err), s.Log())
		case <-tick.C:
		}
	}
}

// Addr returns host:port.
func (s *Server) Addr() string { return host.Loopback(s.port) }

// API is the path of the REST interface.
const API = "/REST/2.0"

// Log returns what the server has written so far.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "rt.log")) // what there is of it
	return string(text)
}

// Close ends the server and removes its folder.
func (s *Server) Close() {
	if s.process != nil {
		s.process.End(syscall.SIGTERM)
	}
	_ = os.RemoveAll(s.dir) // a folder left in the temporary one harms nobody
}
