package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"pillarbox/internal/atrest"
	"pillarbox/internal/config"
	"pillarbox/internal/console"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/vfs"
)

func newEncryptionCommand(global *globalFlags) *cobra.Command {
	command := &cobra.Command{
		Use: "encryption", Short: "Make a key for encryption at rest, list data keys, open a sealed file", Args: noSuchCommand,
		Long: `With encryption.key, what pillarbox keeps in its data directory is sealed, all but SQLite databases:

  (umask 077; pillarbox encryption new-key > /etc/pillarbox/encryption.key)
  encryption: { key: "file:/etc/pillarbox/encryption.key" }

To replace the key, make another, name it as encryption.key and the first one in encryption.old_keys, and restart: data keys are
then wrapped by the new one, and what is sealed stays as it is. After that the old key is not needed any more, except for backups.`,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newEncryptionNewKey(), newEncryptionStatus(global), newEncryptionOpen(global))
	return command
}

func newEncryptionNewKey() *cobra.Command {
	return &cobra.Command{
		Use: "new-key", Short: "Print a new key, for file: and env:", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			var key [32]byte
			_, _ = rand.Read(key[:]) // never fails, by its documentation
			_, err := fmt.Fprintln(command.OutOrStdout(), base64.StdEncoding.EncodeToString(key[:]))
			return err
		},
	}
}

func newEncryptionStatus(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use: "status", Short: "List the data keys, and by which key each is wrapped", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withData(global, func(_ *config.Config, disk *vfs.Disk) error {
				keys, err := atrest.ListFiles(disk)
				if err != nil {
					return err
				}
				return console.WriteDataKeys(command.OutOrStdout(), keys, form)
			})
		},
	}
	outputFlag(command, &form)
	return command
}

func newEncryptionOpen(global *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "open FILE", Short: "Print what is in a sealed file: a dead letter, a request in quarantine, what a repair saved",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			content, err := readAtMost(args[0], maxSealedFile)
			if err != nil {
				return usageError{err}
			}
			return withData(global, func(cfg *config.Config, disk *vfs.Disk) error {
				keys, err := openAtRest(command.Context(), cfg, disk, atrest.Options{ReadOnly: true})
				if err != nil {
					return err
				}
				plain, err := keys.OpenAny(content)
				if err != nil {
					return fmt.Errorf("open %s: %w", args[0], err)
				}
				_, err = command.OutOrStdout().Write(plain)
				return err
			})
		},
	}
}

// maxSealedFile bounds what is read of a file to be opened, in bytes.
const maxSealedFile = 1 << 30

func readAtMost(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return content, err
}

// withData runs work on the data directory, whether a server runs or not. Nothing may be written.
func withData(global *globalFlags, work func(cfg *config.Config, disk *vfs.Disk) error) error {
	cfg, err := global.load()
	if err != nil {
		return err
	}
	disk, err := vfs.OpenDisk(cfg.Data)
	if err != nil {
		return err
	}
	return errors.Join(work(cfg, disk), disk.Close())
}

// checkEncryption reports keys of encryption that can't be any. No file is read, and no service asked.
func checkEncryption(cfg *config.Config) error {
	errs := []error{}
	if cfg.Encryption.Key != "" {
		errs = append(errs, catalog.CheckKeyEncryption("encryption.key", cfg.Encryption.Key))
	}
	for _, old := range cfg.Encryption.OldKeys {
		errs = append(errs, catalog.CheckKeyEncryption("encryption.old_keys", old))
	}
	return errors.Join(errs...)
}

// openAtRest opens the data keys of a data directory with the keys of a configuration.
func openAtRest(ctx context.Context, cfg *config.Config, disk vfs.FS, opts atrest.Options) (*atrest.Keys, error) {
	if cfg.Encryption.Key != "" {
		key, err := catalog.OpenKeyEncryption("encryption.key", cfg.Encryption.Key)
		if err != nil {
			return nil, err
		}
		opts.Key = key
	}
	for _, old := range cfg.Encryption.OldKeys {
		key, err := catalog.OpenKeyEncryption("encryption.old_keys", old)
		if err != nil {
			return nil, err
		}
		opts.OldKeys = append(opts.OldKeys, key)
	}
	return atrest.Open(ctx, disk, opts)
}

// openAtRest opens the data keys, before anything that may be sealed.
func (e *engines) openAtRest(ctx context.Context) (err error) {
	if e.data == nil {
		return nil
	}
	e.AtRest, err = openAtRest(ctx, e.config, e.data,
		atrest.Options{ReadOnly: e.readOnly, Now: e.Clock.Now, Logger: e.logger})
	return err
}
