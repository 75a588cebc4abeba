#include "config/transaction.h"

#include <google/protobuf/util/message_differencer.h>

#include "config/resources.h"
#include "config/validate.h"

namespace sluice::config {

Result<void> Configuration::load() {
  const std::lock_guard lock(mutex_);
  auto loaded = store_.load();
  if (!loaded) return loaded.error();
  revision_ = loaded->revision;
  config_ = std::move(loaded->config);
  return {};
}

Configuration::View Configuration::view() const {
  const std::lock_guard lock(mutex_);
  return {revision_, with_names(config_)};
}

Result<Outcome> Configuration::change(const Author& author, const Edit& edit, bool dry_run) {
  const std::lock_guard lock(mutex_);
  v1::Config next = with_names(config_);
  if (auto r = edit(next); !r) return r.error();
  if (auto r = validate_counts(next); !r) return r.error();
  if (auto r = complete(next, config_); !r) return r.error();
  if (auto r = validate(next); !r) return r.error();
  if (google::protobuf::util::MessageDifferencer::Equals(config_, next)) return Outcome{revision_, false, ""};
  if (auto r = data_plane_.prepare(revision_ + 1, next, dry_run ? Purpose::kTry : Purpose::kChange); !r) return r.error();
  if (dry_run) return Outcome{revision_, true, ""};

  const auto committed = store_.commit(config_, next, author.name, author.comment);
  if (!committed) return committed.error();
  config_ = std::move(next);
  revision_ = *committed;
  Outcome outcome{revision_, true, ""};
  if (auto r = data_plane_.publish(revision_); !r)
    outcome.warning = "revision " + std::to_string(revision_) + " is saved; the data plane gets it when it is back: " + r.error().message;
  return outcome;
}

Result<void> Configuration::resume() {
  const std::lock_guard lock(mutex_);
  if (auto r = data_plane_.prepare(revision_, config_, Purpose::kResume); !r) return r;
  return data_plane_.publish(revision_);
}

Result<std::vector<Revision>> Configuration::revisions(unsigned limit) const {
  const std::lock_guard lock(mutex_);
  return store_.revisions(limit);
}

}  // namespace sluice::config
