# Every target sets up what it needs in .venv, once for each change of pyproject.toml or constraints.txt.
PYTHON = python3
BIN = .venv/bin
INSTALL = $(BIN)/pip install -c constraints.txt

help:
	@echo "make book    execute every chapter and write the book to _book/index.html"
	@echo "make lab     open the chapters in JupyterLab"
	@echo "make test    run every check"
	@echo "make clean   remove what these made"
	@echo "Another Python than python3: make PYTHON=python3.12 book"

book: .venv/reader
	$(BIN)/grokbook html --execute

lab: .venv/reader
	$(BIN)/grokbook lab

test: .venv/developer
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/pytest -n 2

clean:
	rm -rf .venv _book _reruns

.venv/reader: .venv/python
	$(INSTALL) -e .
	@touch $@

.venv/developer: .venv/python
	$(INSTALL) -e '.[test,dask,slurm]'
	@touch $@

.venv/python: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "grokbook needs Python 3.11 or later and $(PYTHON) is not; say which to use: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	{ echo "$(PYTHON) cannot make environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.PHONY: help book lab test clean
