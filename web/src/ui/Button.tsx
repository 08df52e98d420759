/* Buttons, with words or with an icon. All are at least 44 px high. */

import type { ReactNode } from "react";
import type { ButtonProps as AriaProps } from "react-aria-components";
import { Button as AriaButton, Tooltip, TooltipTrigger } from "react-aria-components";
import type { IconName } from "./Icon";
import { Icon } from "./Icon";

/** What a button may be told beyond what react-aria knows. */
export type ButtonProps = Omit<AriaProps, "children" | "className"> & {
  readonly kind?: "primary" | "secondary" | "quiet" | "danger";
  readonly icon?: IconName;
  readonly wide?: boolean;
  readonly children: ReactNode;
};

/** A button with words. */
export function Button({ kind = "secondary", icon, wide, children, ...rest }: ButtonProps): ReactNode {
  return (
    <AriaButton {...rest} className="button" data-kind={kind} data-wide={wide === true ? true : undefined}>
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </AriaButton>
  );
}

/** A button with an icon only: its label is read out and shown when it is pointed at or focused. */
export type IconButtonProps = Omit<AriaProps, "children" | "className" | "aria-label"> & {
  readonly label: string;
  readonly icon: IconName;
  readonly className?: string;
};

/** A button with an icon. */
export function IconButton({ label, icon, className, ...rest }: IconButtonProps): ReactNode {
  return (
    <TooltipTrigger delay={600} closeDelay={0}>
      <AriaButton
        {...rest}
        aria-label={label}
        className={className === undefined ? "icon-button" : `icon-button ${className}`}
      >
        <Icon name={icon} />
      </AriaButton>
      <Tooltip className="tooltip" offset={6}>
        {label}
      </Tooltip>
    </TooltipTrigger>
  );
}
