// A disk that fails: a VFS of SQLite's between it and the real files. One write or sync, counted from arm(), goes wrong.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace sluice::test {

enum class Fault {
  kError,  ///< that one returns an I/O error, the rest are well
  kCut,    ///< the power goes: what was not synced is lost, and nothing works from then on
  kTear,   ///< the same, but of what was not synced some is on the disk, the last write by half
};

class FailingDisk {
 public:
  FailingDisk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
    the_ = this;
    vfs_.zName = "failing-disk";
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.xOpen = [](sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
      return the_->open(name, file, flags, out);
    };
    vfs_.xDelete = [](sqlite3_vfs*, const char* name, int sync) {
      return the_->dead_ ? SQLITE_IOERR_DELETE : the_->real_->xDelete(the_->real_, name, sync);
    };
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FailingDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
  }
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  void arm(Fault fault, unsigned operation) { fault_ = fault, countdown_ = operation, operations_ = 0, armed_ = true; }
  /// Writes and syncs since arm().
  [[nodiscard]] unsigned operations() const { return operations_; }

 private:
  struct Undo {
    sqlite3_int64 offset, size_before;
    std::vector<char> before, after;
  };
  struct File {
    sqlite3_file base;
    sqlite3_file* real;
    std::vector<Undo>* unsynced;
  };
  static sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<File*>(file)->real; }

  int open(sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
    auto* f = reinterpret_cast<File*>(file);
    f->base.pMethods = nullptr;
    f->real = reinterpret_cast<sqlite3_file*>(f + 1);
    const int result = real_->xOpen(real_, name, f->real, flags, out);
    if (result != SQLITE_OK) return result;
    methods_ = *f->real->pMethods;
    methods_.iVersion = std::min(methods_.iVersion, 2);  // without memory mapping of the file itself
    methods_.xClose = [](sqlite3_file* x) {
      auto& files = the_->files_;
      files.erase(std::remove(files.begin(), files.end(), reinterpret_cast<File*>(x)), files.end());
      delete reinterpret_cast<File*>(x)->unsynced;
      return real(x)->pMethods->xClose(real(x));
    };
    methods_.xRead = [](sqlite3_file* x, void* to, int n, sqlite3_int64 at) { return real(x)->pMethods->xRead(real(x), to, n, at); };
    methods_.xWrite = [](sqlite3_file* x, const void* from, int n, sqlite3_int64 at) { return the_->write(x, from, n, at); };
    methods_.xSync = [](sqlite3_file* x, int how) { return the_->sync(x, how); };
    methods_.xTruncate = [](sqlite3_file* x, sqlite3_int64 n) {
      return the_->dead_ ? SQLITE_IOERR_TRUNCATE : real(x)->pMethods->xTruncate(real(x), n);
    };
    methods_.xFileSize = [](sqlite3_file* x, sqlite3_int64* n) { return real(x)->pMethods->xFileSize(real(x), n); };
    methods_.xLock = [](sqlite3_file* x, int how) { return real(x)->pMethods->xLock(real(x), how); };
    methods_.xUnlock = [](sqlite3_file* x, int how) { return real(x)->pMethods->xUnlock(real(x), how); };
    methods_.xCheckReservedLock = [](sqlite3_file* x, int* r) { return real(x)->pMethods->xCheckReservedLock(real(x), r); };
    methods_.xFileControl = [](sqlite3_file* x, int op, void* a) { return real(x)->pMethods->xFileControl(real(x), op, a); };
    methods_.xSectorSize = [](sqlite3_file* x) { return real(x)->pMethods->xSectorSize(real(x)); };
    methods_.xDeviceCharacteristics = [](sqlite3_file* x) { return real(x)->pMethods->xDeviceCharacteristics(real(x)); };
    methods_.xShmMap = [](sqlite3_file* x, int i, int n, int extend, void volatile** p) {
      return real(x)->pMethods->xShmMap(real(x), i, n, extend, p);
    };
    methods_.xShmLock = [](sqlite3_file* x, int at, int n, int flags_) { return real(x)->pMethods->xShmLock(real(x), at, n, flags_); };
    methods_.xShmBarrier = [](sqlite3_file* x) { real(x)->pMethods->xShmBarrier(real(x)); };
    methods_.xShmUnmap = [](sqlite3_file* x, int remove) { return real(x)->pMethods->xShmUnmap(real(x), remove); };
    f->base.pMethods = &methods_;
    f->unsynced = new std::vector<Undo>;
    files_.push_back(f);
    return SQLITE_OK;
  }

  /// Whether this operation is the one.
  bool strikes() {
    if (!armed_) return false;
    return operations_++ == countdown_;
  }

  int write(sqlite3_file* x, const void* from, int n, sqlite3_int64 at) {
    if (dead_) return SQLITE_IOERR_WRITE;
    auto* f = reinterpret_cast<File*>(x);
    const auto* bytes = static_cast<const char*>(from);
    Undo undo{at, 0, std::vector<char>(static_cast<std::size_t>(n)), {bytes, bytes + n}};
    f->real->pMethods->xFileSize(f->real, &undo.size_before);
    (void)f->real->pMethods->xRead(f->real, undo.before.data(), n, at);  // a short read fills with zeros
    const bool now = strikes();
    if (now && fault_ == Fault::kError) return SQLITE_IOERR_WRITE;
    const int result = f->real->pMethods->xWrite(f->real, from, n, at);
    f->unsynced->push_back(std::move(undo));
    if (now) lose_power();
    return now ? SQLITE_IOERR_WRITE : result;
  }

  int sync(sqlite3_file* x, int how) {
    if (dead_) return SQLITE_IOERR_FSYNC;
    if (strikes()) {
      if (fault_ != Fault::kError) lose_power();
      return SQLITE_IOERR_FSYNC;
    }
    auto* f = reinterpret_cast<File*>(x);
    f->unsynced->clear();
    return f->real->pMethods->xSync(f->real, how);
  }

  void lose_power() {
    dead_ = true;
    for (auto* f : files_) {
      auto& writes = *f->unsynced;
      // Torn: every other unsynced write is there, the last by half; else none is.
      for (std::size_t i = writes.size(); i-- > 0;) {
        const auto& w = writes[i];
        f->real->pMethods->xWrite(f->real, w.before.data(), static_cast<int>(w.before.size()), w.offset);
        f->real->pMethods->xTruncate(f->real, std::max(w.size_before, sqlite3_int64{0}));
      }
      if (fault_ != Fault::kTear) continue;
      for (std::size_t i = 0; i < writes.size(); i += 2) {
        const auto& w = writes[i];
        const bool last = i + 2 >= writes.size();
        f->real->pMethods->xWrite(f->real, w.after.data(), static_cast<int>(last ? w.after.size() / 2 : w.after.size()), w.offset);
      }
    }
  }

  inline static FailingDisk* the_ = nullptr;
  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  sqlite3_io_methods methods_{};
  std::vector<File*> files_;
  Fault fault_{};
  unsigned countdown_ = 0, operations_ = 0;
  bool armed_ = false, dead_ = false;
};

}  // namespace sluice::test
